"""Reports of a search: tables, charts, an HTML page and event logs."""
