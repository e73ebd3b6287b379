//! Documents as the web has them, drawn from a seed: English and Indonesian, 500 bytes to 20 kB, in sentences and
//! paragraphs, with marks beyond ASCII, numbers, lists, addresses, repeated lines, and copies of what was before.

use std::fmt::Write as _;

/// Small words, the frequent ones first.
const ENGLISH: &str = "the of and to in a is that for it was on with as be at by this are from or have an not they \
which you were her all she there would their we him been has when who will more no if out so said what up its about \
into than them can only other new some could time these two may then do first any my now such like our over me even \
most made after also did many before must through back years where much your way well down should because each just \
those people how too little good very make world still own see men work long get here between both life being under \
never day same another know while last might us great old year off come since against go came right used take three";
const INDONESIAN: &str = "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena tersebut \
bisa ada mereka lebih kata tahun sudah atau saat oleh menjadi orang ia telah adalah seperti sebagai bahwa dapat para \
harus namun kita dua satu masih hari hanya mengatakan kepada kami setelah melakukan lalu belum lain dia kalau terjadi \
banyak menurut anda hingga tak baru beberapa ketika saja jalan sekitar secara dilakukan sementara tapi sangat hal \
sehingga seorang bagi besar lagi selama antara waktu sebuah jika sampai jadi terhadap tiga serta pun salah merupakan";
/// Beginnings, middles and ends of the others.
const ENGLISH_PARTS: [&str; 3] = [
    "con pro re in de ex per trans sub inter over under out fore main hand house water land light stone market school \
    form build plan teach reach count govern develop manage order report travel garden kitchen music number letter",
    "sist fer duct port spect struct tain vert clud press mit pos sign min gen serv lat cord fin mark tend tract quest \
    vis ten ject vent",
    "s ed ing ly er ment tion ness able al ive ure ance ful ity ist est ers ations ments ingly",
];
const INDONESIAN_PARTS: [&str; 3] = [
    "me ber di ter pe se ke mem men meng peng pem per meny",
    "bangun jalan tulis baca ajar kerja main dengar lihat bicara masak tanam jual beli kirim buka tutup simpan pakai \
    ubah hitung bantu jaga cari pilih gambar rumah pasar desa kota laut hutan sawah guru murid anak kawan air tanah \
    batu kayu bunga ikan ayam beras gula garam minyak uang surat buku pintu jendela meja kursi lampu kereta kapal",
    "kan an i nya lah kah anlah annya kannya inya",
];

pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Numbers that a seed draws.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % n
    }

    /// Small numbers are more frequent, as words are.
    fn often(&mut self, n: usize) -> usize {
        let (a, b) = (self.below(1000), self.below(1000));
        (a * b * n as u64 / 1_000_000) as usize
    }
}

/// A language's words.
struct Lexicon {
    small: Vec<&'static str>,
    others: Vec<String>,
}

impl Lexicon {
    fn new(small: &'static str, parts: [&str; 3], seed: u64) -> Self {
        let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>());
        let mut draw = Draw(seed);
        let mut pick =
            |part: usize| parts[part][draw.below(parts[part].len() as u64) as usize].to_owned();
        let other = |_| pick(0) + &pick(1) + &pick(2);
        Self {
            small: small.split_whitespace().collect(),
            others: (0..6000).map(other).collect(),
        }
    }

    fn word(&self, draw: &mut Draw) -> &str {
        if draw.below(100) < 45 {
            self.small[draw.often(self.small.len())]
        } else {
            &self.others[draw.often(self.others.len())]
        }
    }

    fn sentence(&self, draw: &mut Draw, out: &mut String) {
        let words = 6 + draw.below(18);
        for i in 0..words {
            let word = self.word(draw);
            match draw.below(160) {
                0 => drop(write!(out, "{}", 1900 + draw.below(130))),
                1 => drop(write!(
                    out,
                    "{}.{:03}",
                    draw.below(900) + 1,
                    draw.below(1000)
                )),
                2 => drop(write!(out, "“{word}”")),
                3 => drop(write!(out, "{word} – ")),
                4 => drop(write!(out, "({word})")),
                _ if i == 0 => {
                    out.push_str(&word[..1].to_uppercase());
                    out.push_str(&word[1..]);
                }
                _ => out.push_str(word),
            }
            if i + 1 < words {
                out.push_str(if draw.below(11) == 0 { ", " } else { " " });
            }
        }
        out.push_str([".", ".", ".", ".", ".", ".", "?", "!"][draw.below(8) as usize]);
    }
}

/// Texts, one after the other.
pub(crate) struct Corpus {
    lexicons: [Lexicon; 2],
    document: u64,
}

impl Corpus {
    pub(crate) fn new() -> Self {
        Self {
            lexicons: [
                Lexicon::new(ENGLISH, ENGLISH_PARTS, 1),
                Lexicon::new(INDONESIAN, INDONESIAN_PARTS, 2),
            ],
            document: 0,
        }
    }

    /// The next text. Each twentieth nearly repeats one before it, each fiftieth does so exactly.
    pub(crate) fn text(&mut self) -> String {
        let document = self.document;
        self.document += 1;
        if document % 20 == 19 {
            return self.draw(document - 7) + " Demikian, so it was.";
        }
        self.draw(if document % 50 == 48 {
            document - 11
        } else {
            document
        })
    }

    fn draw(&self, seed: u64) -> String {
        let mut draw = Draw(mix(seed));
        let lexicon = &self.lexicons[draw.below(2) as usize];
        // As many of 500 bytes to 1 kB as of 10 to 20 kB.
        let bytes = (500.0 * 40f64.powf(draw.below(10_000) as f64 / 10_000.0)) as usize;
        let mut out = String::with_capacity(bytes + 500);
        let mut line = String::new();
        while out.len() < bytes {
            match draw.below(60) {
                0 => (0..4).for_each(|_| {
                    out.push_str("- ");
                    lexicon.sentence(&mut draw, &mut out);
                    out.push('\n');
                }),
                1 => drop(writeln!(
                    out,
                    "Email: ani.budi{}@example.co.id",
                    draw.below(1000)
                )),
                2 => drop(writeln!(
                    out,
                    "Hubungi 0812-{:04}-{:04}",
                    draw.below(10_000),
                    draw.below(10_000)
                )),
                3 => drop(writeln!(
                    out,
                    "https://example.org/{}/{}?id={}",
                    lexicon.word(&mut draw),
                    lexicon.word(&mut draw),
                    draw.below(10_000)
                )),
                4 => {
                    if line.is_empty() {
                        lexicon.sentence(&mut draw, &mut line);
                    }
                    out.push_str(&line);
                    out.push_str("  \r\n");
                }
                _ => {}
            }
            for _ in 0..2 + draw.below(5) {
                lexicon.sentence(&mut draw, &mut out);
                out.push(' ');
            }
            out.push_str(if draw.below(3) == 0 { "\n\n" } else { "\n" });
        }
        out
    }
}
