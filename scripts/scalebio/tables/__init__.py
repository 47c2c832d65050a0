"""Tidy tables: everything a figure or a reader needs, one number a row, and a short readable summary of each.

`tidy` reads and checks CSV and Parquet files, `runs` turns the files of single runs into the tables, `summary`
writes the Markdown beside them. Only these tables feed the figures.
"""
