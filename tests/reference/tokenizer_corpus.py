"""Writes the strings on which tokenizers are compared: 12,000 varied ones, the same on every run.

Usage: tokenizer_corpus.py OUT.jsonl
"""
import json
import random
import sys

COUNT = 12_000

WORDS = {
    "english": """the of and to in is that it was for on are as with his they at be this from have or
        by one had not but what all were when we there can an your which their said if do will each about
        how up out them then she many some so these would other into has more her two like him see time
        could no make than first been its who now people my made over did down only way find use may
        water long little very after words called just where most know Internationalization
        antidisestablishmentarianism don't can't I'm you'll we've he'd they're it's DON'T I'LL She's""",
    "indonesian": """yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena
        tersebut bisa ada mereka lebih kata tahun sudah atau saat oleh menjadi orang ia telah adalah
        seperti sebagai bahwa dapat para harus namun kita dua satu masih hari hanya mengatakan kepada
        kami setelah melakukan lalu belum lain dia kalau terjadi banyak menurut anda hingga tak baru
        beberapa ketika saja jalan sekitar secara dilakukan sementara tapi sangat hal sehingga seorang
        mempertanggungjawabkan ketidakberpihakan ke-2 anak-anak Rp1.500.000 Jakarta Surabaya""",
    "chinese": "人工智能正在改變我們的生活 今天天气很好，我们去公园吧。 这是一个测试 機器學習與深度學習 北京大学 中华人民共和国 你好世界！",
    "japanese": "私は学生です。 今日はいい天気ですね 東京タワー カタカナとひらがな プログラミング言語 ありがとうございます ー々〆",
    "korean": "안녕하세요 오늘 날씨가 좋습니다 대한민국 서울특별시 프로그래밍 언어 모델 ㅋㅋㅋ",
    "arabic": "السلام عليكم ورحمة الله الذكاء الاصطناعي لغة عربية مُحَمَّدٌ كِتَابٌ ١٢٣٤٥ هل تتكلم الإنجليزية؟",
    "hindi": "नमस्ते दुनिया यह एक परीक्षण है कृत्रिम बुद्धिमत्ता हिन्दी भाषा १२३४५ क्षत्रिय श्रीमान् विद्यार्थी",
    "others": "Привет мир это проверка Γειά σου Κόσμε שלום עולם สวัสดีชาวโลก வணக்கம் გამარჯობა ሰላም Größe "
              "façade naïve Čeština żółć İstanbul ığüşöç đặc biệt người Việt ſtrasse ﬁnance Ⅷ ½ ² ㎏ ǅ",
}
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇮🇩", "🏳️‍🌈", "❤️", "1️⃣", "🤷🏻‍♀️", "🫠", "👩‍💻", "⚡", "☃", "♟️", "🧑🏿‍🚀"]
CODE = [
    "def f(x):\n    return x ** 2\n",
    "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n}\n",
    "fn main() -> Result<(), Box<dyn Error>> { println!(\"{:?}\", x); Ok(()) }",
    "SELECT * FROM users WHERE id = 42 AND name LIKE '%o%';",
    "<div class=\"a b\">&nbsp;&lt;</div>", "#include <stdio.h>\r\n#define X(a) ((a)+1)\r\n",
    "{\"key\": [1, 2.5e-3, null, true], \"k2\": \"v\\n\"}", "x = y if z else w  # comment",
    "const f = async (a) => { await g(a?.b ?? `t${c}`); };", "\\begin{align} x &= y^2 \\\\ \\end{align}",
    "git commit -m \"it's\" && cd ../..", "0xFF 0b1010 1e10 1_000_000 3.14159 -42 +7", "a::b->c.d!e@f#g$h%i^j&k*l",
]
URLS = ["https://example.org/a/b?c=d&e=%20f#g", "user.name+tag@sub.example.co.id", "www.example.com:8080/~x",
        "/usr/local/bin/x", "C:\\Users\\x\\y.txt", "ftp://1.2.3.4/", "10.0.0.1:443", "2024-02-29T12:34:56Z"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\t\t", "        ", "\u00a0", "\u3000", "\u2003",
          "\u200b", "\u2028", "\x0b", "\x0c", "\x85", " \t \n\n  ", "\n \n \n", "\u1680", "\u202f"]
CONTROL = [chr(c) for c in range(0x20)] + ["\x7f", "\x80", "\x9f", "\u200d", "\ufeff", "\u202e", "\ufffd", "\ufffc",
                                           "\u00ad", "\u2060", "\ue000", "\ufdd0", "\U0010fffd"]
COMBINING = ["e\u0301", "a\u0308\u0304", "n\u0303", "o\u0302\u0323", "\u1112\u1161\u11ab", "q\u0307\u0323",
             "\u0301", "Z" + "\u0335\u0321\u0348" * 3, "\u0915\u094d\u0937", "\u0e01\u0e33", "\u212b", "\u1e9b\u0323"]
PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "--", "—", "“", "”", "‘", "’", "…", "¿", "¡", "«", "»",
        "。", "、", "！", "？", "・", "《", "》", "→", "×", "€", "£", "¥", "°", "™", "©", "!!", "??", "?!", "'", "''", "```"]
NEAR_SPECIAL = ["<|im_start", "im_end|>", "<|", "|>", "< s >", "<s", "/s>", "<0x0A>", "<unk", "[INST", "<think", "▁", "▁▁",
                "Ġ", "Ċ", "<start_of", "<|endof text|>", "<pad", "[multimodal", "<eos", "<bos"]


def digits(r):
    n = r.choice([1, 2, 3, 4, 5, 6, 7, 9, 12, 20])
    return "".join(r.choice("0123456789") for _ in range(n))


def random_unicode(r):
    # Assigned ranges that have been stable for long: tables of different ages agree on them.
    low, high = r.choice([(0x20, 0x7e), (0xa1, 0x17f), (0x391, 0x3c9), (0x410, 0x44f), (0x5d0, 0x5ea), (0x627, 0x64a),
                          (0x905, 0x939), (0xe01, 0xe30), (0x3041, 0x3096), (0x30a1, 0x30fa), (0x4e00, 0x9fa5),
                          (0xac00, 0xd7a3), (0x1f600, 0x1f640), (0x2190, 0x21ff), (0x2500, 0x257f), (0xff01, 0xff5e),
                          (0x1d400, 0x1d454), (0x20000, 0x2a000), (0x2070, 0x2071), (0x2160, 0x2188)])
    return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 6)))


def piece(r):
    kind = r.random()
    if kind < 0.30:
        return r.choice(WORDS["english"].split())
    if kind < 0.42:
        return r.choice(WORDS["indonesian"].split())
    if kind < 0.60:
        return r.choice(WORDS[r.choice(list(WORDS)[2:])].split())
    if kind < 0.65:
        return r.choice(EMOJI)
    if kind < 0.71:
        return r.choice(CODE)
    if kind < 0.74:
        return r.choice(URLS)
    if kind < 0.79:
        return digits(r)
    if kind < 0.83:
        return r.choice(CONTROL)
    if kind < 0.87:
        return r.choice(COMBINING)
    if kind < 0.93:
        return r.choice(PUNCT)
    if kind < 0.95:
        return r.choice(NEAR_SPECIAL)
    return random_unicode(r)


def string(r, number):
    if number < 400:
        # Single pieces, and pairs of whitespace: the corners of every pattern.
        flat = SPACES + CONTROL + COMBINING + PUNCT + EMOJI + NEAR_SPECIAL + URLS + CODE
        return flat[number % len(flat)] + (r.choice(SPACES) if number >= len(flat) else "")
    kind = r.random()
    if kind < 0.03:
        return r.choice("aA1 .\n-=é中ก😀") * r.randint(1, 300)
    if kind < 0.05:
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(30, 200)))
    if kind < 0.07:
        # What a decoder makes of invalid surrogates and broken bytes.
        raw = bytes(r.randrange(256) for _ in range(r.randint(1, 24)))
        return raw.decode("utf-8", errors="replace") if r.random() < 0.5 else (
            "x" + chr(r.randint(0xd800, 0xdfff)) + "y").encode("utf-16-le", "surrogatepass").decode(
            "utf-16-le", errors="replace")
    if kind < 0.12:
        return "".join(r.choice(SPACES) for _ in range(r.randint(1, 12)))
    parts = []
    for _ in range(r.choice([1, 2, 3, 5, 8, 13])):
        parts.append(piece(r))
        if r.random() < 0.75:
            parts.append(r.choice([" "] * 12 + SPACES))
    return "".join(parts)


def corpus():
    r = random.Random(20260101)
    return [string(r, number) for number in range(COUNT)]


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for text in corpus():
            out.write(json.dumps(text, ensure_ascii=False) + "\n")
