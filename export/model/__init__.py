"""Models for export: eligibility, streaming, signatures and the record beside them."""
