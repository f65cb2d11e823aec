"""What is exported: which models, their signatures and the record beside them."""
