"""Runs for other tools: CSV and Parquet tables, TensorBoard's event files, an MLflow database."""

from archlab.exporting.export import WRITERS, export

__all__ = ["WRITERS", "export"]
