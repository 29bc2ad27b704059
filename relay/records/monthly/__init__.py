"""The monthly report: counts of the records, and pages and tables made from them."""
