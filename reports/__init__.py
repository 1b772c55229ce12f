"""HTML pages, charts and diagrams, from records alone."""
