"""The client of a served model, by gRPC and REST."""
