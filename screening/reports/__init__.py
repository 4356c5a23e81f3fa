"""Documents: what came of a screening or of a period, as PDF and as a workbook, for people who weren't there."""
