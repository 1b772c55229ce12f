"""Charts: functions from a record to plotly's dictionaries."""
