"""What a search has found: tables, charts, the page and event logs."""
