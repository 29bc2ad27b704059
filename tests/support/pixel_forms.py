"""Every way in which a mail fetches what nobody sees, and pictures beside it that people do see.

REMOTE stands for an address; what stands between ⟦ and ⟧ is what the duty cuts out.
"""

KNOWN = {
    "attributes": '⟦<img src="REMOTE" width="1" height="1" alt="">⟧',
    "style": '⟦<img src="REMOTE" style="width:1px;height:1px">⟧',
    "no height": '⟦<img src="REMOTE" width="600" height="0">⟧',
    "display": '⟦<img src="REMOTE" style="display:none !important">⟧',
    "visibility": '⟦<img src="REMOTE" style="visibility:hidden">⟧',
    "hidden": '⟦<img hidden src="REMOTE">⟧',
    "in what is hidden": '<div style="display:none">⟦<img src="REMOTE" width="600" height="90">⟧</div>',
    "another name": '⟦<image src="REMOTE" width="1" height="1">⟧',
    "clipped": '⟦<img src="REMOTE" style="clip-path:inset(50%)">⟧',
    "opacity": '⟦<img src="REMOTE" style="opacity:0">⟧',
}
"""Those that a reader of <img> tags knows."""

OTHERS = {
    "class": "<style>.tP{width:1px;height:1px}</style>⟦<img class=tP src=REMOTE>⟧",
    "two classes": "<style>.t{max-width:1px}p .u{height:0.5px!important}</style><p>⟦<img class='u t' src=REMOTE>⟧</p>",
    "max-width": '⟦<img src="REMOTE" style="max-width:1px;max-height:1px">⟧',
    "em": '⟦<img src="REMOTE" style="width:.1em;height:.1em">⟧',
    "points": '⟦<img src="REMOTE" style="width:0.5pt;height:0.5pt">⟧',
    "clip": '⟦<img src="REMOTE" style="position:absolute;clip:rect(0,0,0,0)">⟧',
    "clip-path": '⟦<img src="REMOTE" style="clip-path:polygon(0 0, 0 0, 0 0)">⟧',
    "opacity by class": "<style>.o{opacity:0}</style>⟦<img class=o src=REMOTE>⟧",
    "cut off": '<div style="width:1px;height:1px;overflow:hidden">⟦<img src="REMOTE" width="600">⟧</div>',
    "srcset": '⟦<img srcset="REMOTE 1x, REMOTE 2x" width="1" height="1">⟧',
    "picture": '<picture>⟦<source srcset="REMOTE">⟧<img src="cid:x" width="1" height="1"></picture>',
    "background": '<table><tr><td width="1" height="1" ⟦background="REMOTE"⟧></td></tr></table>',
    "background of what is hidden": '<div style="display:none"><table ⟦background="REMOTE"⟧><tr><td>x</table></div>',
    "style with an address": '<div style="width:1px;height:1px;⟦background:url(REMOTE);⟧overflow:hidden">&nbsp;</div>',
    "style of what is placed": '<p style="position:absolute;width:0;height:0;⟦background:url(REMOTE)⟧">x</p>',
    "style of what is empty": '<div style="⟦background-image:url(&quot;REMOTE&quot;)⟧"></div>',
    "style element": "<style>.t{⟦background:url(REMOTE);⟧width:1px}</style><div class=t style='height:1px'></div>",
    "style element of what is hidden": '<style>.t{display:none} p.t{⟦background:url("REMOTE")⟧}</style><p class=t>x</p>',
    "generated": "<style>body:after{⟦content:url(REMOTE);⟧position:absolute;width:0;height:0;overflow:hidden}</style>",
    "link": '⟦<link rel="stylesheet" type="text/css" href="REMOTE">⟧',
    "icon": "⟦<link rel='shortcut icon' href='REMOTE'>⟧",
    "import": '<style>⟦@import url("REMOTE");⟧p{color:#333}</style>',
    "import in a comment": '<style><!-- /* a */ ⟦@import "REMOTE" screen;⟧ --></style>',
    "font": "<style>⟦@font-face{font-family:x;src:local('y'),url(REMOTE) format('woff')}⟧p{font-family:x}</style><p>x</p>",
    "input": '⟦<input type="image" src="REMOTE" width="1" height="1">⟧',
    "poster": '<video width="1" height="1" ⟦poster="REMOTE"⟧></video>',
    "iframe": '<iframe ⟦src="REMOTE"⟧ width="1" height="1" style="border:0"></iframe>',
    "object": '<object width="1" height="1" type="image/gif" ⟦data="REMOTE"⟧></object>',
    "embed": '⟦<embed src="REMOTE" width="1" height="1">⟧',
    "svg": '<svg width="1" height="1"><image ⟦href="REMOTE"⟧ width="90" height="90" /></svg>',
    "comment for Outlook": '<!--[if mso]><p>x</p>⟦<img src="REMOTE" width="1" height="1">⟧<![endif]-->',
    "sound": '<audio autoplay ⟦src="REMOTE"⟧></audio>',
    "script": "<script ⟦src=REMOTE⟧></script>",
}  # fmt: skip
"""Those that it does not. A relative address, with a <base>, is one more."""

FORMS = KNOWN | OTHERS

SEEN = {
    "picture": '<img src="REMOTE">',
    "line": '<img src="REMOTE" width="600" height="1">',
    "line of a dot": '<img src="REMOTE" width="1" height="1" style="width:100%;height:1px">',
    "four pixels": '<img src="REMOTE" width="4" height="4">',
    "of a class": "<style>.t{width:1px;height:1px}#a{width:90px;height:90px}</style><img id=a class=t src=REMOTE>",
    "enlarged": "<style>.t{width:90px!important;height:90px!important}</style><img class=t width=1 height=1 src=REMOTE>",
    "not transparent": '<img src="REMOTE" style="opacity:0.9">',
    "in transparent letters": '<table><tr><td style="color:transparent"><img src="REMOTE" width="90"></td></tr></table>',
    "clipped a little": '<img src="REMOTE" style="clip-path:inset(10px)" width="90" height="90">',
    "cut to a square": '<img src="REMOTE" style="position:absolute;clip:rect(0,90px,90px,0)">',
    "not cut, as it has no place": '<img src="REMOTE" style="clip:rect(0,0,0,0)">',
    "triangle": '<img src="REMOTE" width="90" style="clip-path:polygon(0 0,100% 0,100% 100%)">',
    "at least so large": '<img src="REMOTE" style="width:1px;height:1px;min-width:90px;min-height:90px">',
    "large by its em": '<img src="REMOTE" style="width:6em;height:.1em">',
    "source": '<picture><source srcset="REMOTE"><img src="cid:x" width="90" height="90"></picture>',
    "srcset": '<img srcset="REMOTE 1x" width="90" height="90">',
    "background": '<table width="90"><tr><td background="REMOTE" height="90">x</td></tr></table>',
    "background of a line": '<table width="600"><tr><td width="1" height="1" background="REMOTE"></td></tr></table>',
    "background of a tall cell": '<table><tr><td width="1" height="1" background="REMOTE"></td><td>x<br>x</td></tr></table>',
    "background with an inside": '<div style="height:0;padding-bottom:50%;background:url(REMOTE)"></div>',
    "background that is stretched": '<div style="display:flex;height:90px"><p style="background:url(REMOTE)"></p></div>',
    "background of a place": '<div style="position:absolute;top:0;bottom:0;width:90px;background:url(REMOTE)"></div>',
    "background that grows": '<div style="display:flex"><p style="flex:1;width:1px;height:1px;background:url(REMOTE)"></p></div>',
    "background of a body": "<style>body{background:url(REMOTE)}</style>",
    "background by class": '<style>.t{background:url(REMOTE);height:90px}.u .t{width:1px}</style><div class="t"></div>',
    "generated": "<style>p::before{content:url(REMOTE)}</style><p>x</p>",
    "poster": '<video width="90" height="90" poster="REMOTE"></video>',
    "iframe": '<iframe src="REMOTE"></iframe>',
    "object": '<object data="REMOTE" type="image/gif" width="90" height="90"></object>',
    "embed": '<embed src="REMOTE" type="image/gif" width="90" height="90">',
    "input": '<input type="image" src="REMOTE" width="90" height="90">',
    "svg": '<svg width="90" height="90"><image href="REMOTE" width="90" height="90" /></svg>',
    "comment for Outlook": '<!--[if !mso]><!--><img src="REMOTE"><!--<![endif]--><!--[if mso]><img src="REMOTE"><![endif]-->',
    "sound": '<audio controls src="REMOTE"></audio>',
}  # fmt: skip

ON_SMALL_SCREENS = {
    "shown there": "<style>@media (max-width:600px){.m{display:block!important;max-height:none!important}}</style>"
    '<div class="m" style="display:none;max-height:0;overflow:hidden"><img src="REMOTE" width="90"></div>',
    "large there": "<style>@media (max-width:600px){.m{width:100%!important;height:auto!important}}</style>"
    '<img class="m" width="0" height="0" src="REMOTE">',
    "shown there by a rule": "<style>.m .n{display:none}@media (max-width:600px){.n{display:block}}</style>"
    '<div class="m"><div class="n"><img src="REMOTE" width="90"></div></div>',
    "painted there": "<style>.m{display:none;background:url(REMOTE)}@media (max-width:600px){.m{display:block!important}}</style>"
    '<div class="m">x</div>',
}
"""Pictures for telephones, which nobody sees on a desk."""

FETCHES_NOTHING = {
    "canonical": '<link rel="canonical" href="REMOTE">',
    "namespace": "<style>@namespace url(REMOTE);</style>",
    "no element": "<style>.t{background:url(REMOTE);width:1px;height:1px}</style>",
    "a comment": "<style>/* @import 'REMOTE'; */</style><!-- <img src=REMOTE width=1 height=1> -->",
    "a field": '<input type="hidden" src="REMOTE" width="1" height="1">',
    "our own": '<img src="cid:x" width="1" height="1"><img src="data:image/gif;base64,R0" hidden><img src="a.gif" hidden>',
}


def with_address(form: str, address: str) -> str:
    """The form without its marks."""
    return form.replace("⟦", "").replace("⟧", "").replace("REMOTE", address)


def cut_out(form: str, address: str) -> str:
    """What the duty leaves of it."""
    pieces = form.replace("REMOTE", address).split("⟦")
    return "".join([pieces[0], *(piece.partition("⟧")[2] for piece in pieces[1:])])
