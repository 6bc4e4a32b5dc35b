"""The page for people: `report.html` beside a result."""
