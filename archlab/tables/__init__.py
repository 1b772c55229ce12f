"""Records as tables, and tables as text, CSV, Markdown and HTML."""
