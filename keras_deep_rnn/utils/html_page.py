"""`html_page`: the frame and the style that all HTML pages share."""

import html

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f9; color: #222;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 8px 0 20px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 4px; }
section { background: #fff; border: 1px solid #e3e6ea; border-radius: 8px;
  padding: 18px 20px; margin: 0 0 18px; }
p { margin: 4px 0 10px; max-width: 85ch; color: #555; }
img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid #eceef1; }
"""


def html_page(title: str, body: str, style: str, head: str = "") -> str:
    """A page as HTML.

    Args:
        title: Title and heading, not escaped.
        body: HTML below the heading.
        style: CSS after `STYLE`.
        head: More HTML of the head.

    Returns:
        The text of the file.

    Example:

    >>> "<h1>B &lt; C</h1>" in html_page("B < C", "", "")
    True
    """
    title = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}<style>{STYLE}{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
