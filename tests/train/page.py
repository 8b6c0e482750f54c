#!/usr/bin/env python3
"""Reads a page as strictly as can be, as XML and as HTML, and prints what is in it.

    page.py report.html

It fails where the page is not well formed, has a script, a handler, or anything from elsewhere.
"""
import sys
import xml.parsers.expat
from html.parser import HTMLParser

text = open(sys.argv[1], encoding="utf-8").read()
xml.parsers.expat.ParserCreate().Parse(text, True)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.counts, self.words, self.problems = {}, [], []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            if name.startswith("on"):
                self.problems.append(f"<{tag}> has the handler {name}")
            if name in ("src", "href", "data", "action") and not value.startswith("data:"):
                self.problems.append(f"<{tag}> fetches {value}")
        if tag in ("script", "iframe", "object", "embed", "link"):
            self.problems.append(f"<{tag}> is there")

    def handle_data(self, data):
        self.words.append(data.strip())


page = Page()
page.feed(text)
page.close()
if "url(" in text or "@import" in text:
    page.problems.append("the style fetches something")
for problem in page.problems:
    print("problem:", problem)
for tag in ("svg", "img", "h2", "pre"):
    print(tag, page.counts.get(tag, 0))
print("\n".join(word for word in page.words if word))
sys.exit(bool(page.problems))
