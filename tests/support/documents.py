"""Files of every kind that the command line translates, as bytes, and helpers that rewrite their texts."""

from collections.abc import Set

from service.commandline.documents.document import Document
from service.commandline.documents.kinds import document_kinds

SRT = b"""\
1
00:00:01,000 --> 00:00:02,500 X1:10 X2:20
<i>Hello there,
my friend.</i>

7
00:00:03,000 --> 00:00:04,000
- Who is it?
- {\\an8}It is me.

"""
VTT = b"""\
WEBVTT - Title
Kind: captions

REGION
id:fred
width:40%

STYLE
::cue { color: lime }

NOTE
a comment
of two lines

intro
00:00:00.000 --> 00:00:02.000 align:left line:10%
<v Bob>Salt &amp; pepper for
<c.loud>everyone</c>

00:00:03.000 --> 00:00:05.000 position:10%,line-left region:fred
The <00:00:04.000>second one

NOTE last
"""
PO = """\
# Translators
msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#. for translators
#: src/a.c:10
#, c-format
msgctxt "menu"
msgid "Open %s"
msgstr ""

msgid "Close"
msgstr "Schließen"

#, fuzzy
#| msgid "Old"
msgid "New"
msgstr "Alt"

msgid "One file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""

msgid ""
"First line.\\n"
"Second line.\\n"
msgstr ""

#~ msgid "Gone"
#~ msgstr "Weg"
""".encode()
JSON = (
    '{\n  "title": "Das „Haus“",\n  "n": [1, 2.50, 1e400, null, true, "", "42"],\n'
    '  "deep": {"a": ["Good\\nmorning", {"b": "Good \\"evening\\""}], "b": "Bye"}\n}\n'.encode()
)
HTML = b"""\
<!DOCTYPE html>
<html lang="en"><head><title>My page</title><style>p { color: red }</style>
<script>if (a < b && c) { alert("Hello"); }</script></head>
<body class=main><!-- A note -->
<H1>The dog &amp; the cat</H1 >
<p title='A title'>The dog is in
   the garden.<br/>I like <b>dogs</b> &lt;3, and a < b.</p>
<pre>kept <i>text</i></pre> <code>x</code> &nbsp; <![CDATA[data]]> <?php echo ?>
</body></html>
"""
TSV = b'id\ttext\tother\n1\tThe cat sleeps.\t\n\n2\t  A "dog".  \t3.5\n'
TXT = b"Hello there.\n\n   Indented.\t\n12:30\nNo line break at the end."
FILES = {".srt": SRT, ".vtt": VTT, ".po": PO, ".json": JSON, ".html": HTML, ".tsv": TSV, ".txt": TXT}


def document(suffix: str, data: bytes, *, columns: Set[int] = frozenset(), keys: Set[str] = frozenset()) -> Document:
    return Document.of(data, document_kinds(columns=columns, keys=keys)[suffix])


def shouted(suffix: str, data: bytes, *, columns: Set[int] = frozenset(), keys: Set[str] = frozenset()) -> str:
    """The file with all its texts in capitals."""
    read = document(suffix, data, columns=columns, keys=keys)
    return read.with_translations([text.upper() for text in read.texts()]).decode()
