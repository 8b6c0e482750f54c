/* page.c: the frame of a report: its style and its pieces.  No script, nothing from elsewhere: what is in the file is
 * what is seen, on a phone and in the dark too. */
#include "train/report/report.h"

#include "plot/plot.h"

static const char style[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1e1e1e;--grey:#666;--line:#e1e1e1;--box:#f6f6f4;--good:#007a5a;"
    "--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e8e8e6;--grey:#9aa0a6;--line:#3a3d42;--box:#202328;"
    "--good:#4ccba3;--bad:#ff8a80}}\n"
    "body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:72rem;"
    "padding:1rem;overflow-wrap:anywhere}\n"
    "h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}\n"
    "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top;"
    "font-weight:normal}th{color:var(--grey)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    "pre{background:var(--box);padding:.8rem;overflow:auto;max-height:32rem;font-size:.85rem;overflow-wrap:normal}\n"
    ".wide{overflow-x:auto}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));"
    "gap:1rem}\nsvg{width:100%;height:auto;max-width:60rem}\n"
    ".samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:.8rem}"
    "figure{margin:0}figcaption{font-size:.85rem}figure img{width:100%;image-rendering:pixelated}\n"
    ".right{color:var(--good)}.wrong{color:var(--bad)}.grey{color:var(--grey)}\n"
    "details summary{cursor:pointer}\n";

void wk__page_begin(wk_text *page, const char *title) {
    wk_text_puts(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
                       "style-src 'unsafe-inline'\"/>\n<title>");
    wk__xml_escape(page, title);
    wk_text_puts(page, "</title>\n<style>\n");
    wk_text_puts(page, style);
    wk_text_puts(page, "</style>\n</head>\n<body>\n<h1>");
    wk__xml_escape(page, title);
    wk_text_puts(page, "</h1>\n");
}

void wk__page_end(wk_text *page) {
    wk_text_puts(page, "</body>\n</html>\n");
}

void wk__page_section(wk_text *page, const char *title) {
    wk_text_puts(page, "<h2>");
    wk__xml_escape(page, title);
    wk_text_puts(page, "</h2>\n");
}

void wk__page_fact(wk_text *page, const char *name, const char *value) {
    if (!value || !*value) return;
    wk_text_puts(page, "<tr><th scope=\"row\">");
    wk__xml_escape(page, name);
    wk_text_puts(page, "</th><td>");
    wk__xml_escape(page, value);
    wk_text_puts(page, "</td></tr>\n");
}

void wk__page_text(wk_text *page, const char *text) {
    wk_text_puts(page, "<pre>");
    wk__xml_escape(page, text);
    wk_text_puts(page, "</pre>\n");
}
