"""Where Hugging Face's `tokenizers` answers otherwise than utf8proc about a code point, as src/text/differences.h.

    python tests/golden/unicode_differences.py >src/text/differences.h

`tokenizers` takes its properties from several libraries, the oldest of which knows Unicode 8; each code point is asked
of both.  tokenizers 0.23, libutf8proc 2.8 (Unicode 15.0).
"""
import ctypes
import ctypes.util

from tokenizers import normalizers, pre_tokenizers

utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
POINTS = [p for p in range(0x80, 0x110000) if not 0xD800 <= p < 0xE000]
SPACES = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, *range(0x2000, 0x200B)}


def category(point):
    """As utf8proc numbers them: 6 to 8 are M, 12 to 18 P, 26 Cc, 27 Cf, 28 Cs, 29 Co."""
    return utf8proc.utf8proc_category(point)


def removed(normalizer, point):
    return normalizer.normalize_str("a" + chr(point) + "b") == "ab"


def alone(splitter, point):
    return len(splitter.pre_tokenize_str("a" + chr(point) + "b")) == 3


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**dict(off, **on))


clean, accents, marks, splitter = bert(clean_text=True), bert(strip_accents=True), normalizers.StripAccents(), pre_tokenizers.BertPreTokenizer()
TABLES = [
    ("punctuation", "wk__is_punctuation", lambda p: alone(splitter, p) != (12 <= category(p) <= 18)),
    ("accent", "wk__is_accent", lambda p: removed(accents, p) != (category(p) == 6)),
    ("mark", "wk__is_mark", lambda p: removed(marks, p) != (6 <= category(p) <= 8)),
    ("other", "wk__is_other", lambda p: p not in SPACES and p != 0xFFFD and removed(clean, p) != (26 <= category(p) <= 29)),
]

print("/* Made by tests/golden/unicode_differences.py: code points of which the category that utf8proc knows is not the\n"
      " * answer.  First and last of each range. */")
for name, function, differs in TABLES:
    ranges = []
    for point in filter(differs, POINTS):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    print("static const int32_t %s_differs[][2] = { /* %s */" % (name, function))
    line = "   "
    for first, last in ranges:
        item = " { 0x%X, 0x%X }," % (first, last)
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
