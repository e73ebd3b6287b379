//! Pictures: what is kept of them, what is not, and such as are made to do harm.

use proptest::prelude::*;
use terang_documents::{PICTURE_BYTES_MAX, Picture, PictureError, PictureKind};

/// Stands in everything that must be gone.
const SECRET: &[u8] = b"6.2088 S, 106.8456 E";

fn be(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

fn le(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// What a camera writes: how it was held, and where.
fn tiff(orientation: u8) -> Vec<u8> {
    let place = b"\x25\x88\x04\0\x01\0\0\0\x26\0\0\0";
    let held = [&b"\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0]].concat();
    [&b"II*\0\x08\0\0\0\x02\0"[..], &held, place, &[0; 4], SECRET].concat()
}

fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let crc = {
        let mut sum = u32::MAX;
        for byte in name.iter().chain(body) {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
            }
        }
        !sum
    };
    [&be(body.len()), name, body, &crc.to_be_bytes()].concat()
}

fn png(width: usize, height: usize, between: &[Vec<u8>]) -> Vec<u8> {
    let head = [&be(width)[..], &be(height), &[8, 2, 0, 0, 0]].concat();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &head),
        between.concat(),
        chunk(b"IDAT", b"data"),
        chunk(b"IEND", b""),
    ]
    .concat()
}

fn segment(mark: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xff, mark], &length[..], body].concat()
}

fn jpeg(width: u16, height: u16, between: &[Vec<u8>]) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    let frame = [&[8][..], &height, &width, &[1, 1, 0x11, 0]].concat();
    [
        b"\xff\xd8".to_vec(),
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        between.concat(),
        segment(0xdb, &[1; 65]),
        segment(0xc0, &frame),
        segment(0xda, b"\x01\x01\0\0\x3f\0"),
        // A byte that is escaped, a marker that belongs to the data, and fill.
        b"abc\xff\x00def\xff\xd0ghi\xff\xff\xd9".to_vec(),
    ]
    .concat()
}

fn gif(width: u16, height: u16, between: &[Vec<u8>]) -> Vec<u8> {
    let (width, height) = (width.to_le_bytes(), height.to_le_bytes());
    [
        &b"GIF89a"[..],
        &width,
        &height,
        b"\x80\0\0\0\0\0\xff\xff\xff",
        &between.concat(),
        b"\x2c\0\0\0\0",
        &width,
        &height,
        b"\0\x02\x02\x44\x01\0\x3b",
    ]
    .concat()
}

fn riff(name: &[u8], body: &[u8]) -> Vec<u8> {
    let pad = &[0][..body.len() % 2];
    [name, &le(body.len()), body, pad].concat()
}

fn vp8(width: u16, height: u16) -> Vec<u8> {
    let (width, height) = (width.to_le_bytes(), height.to_le_bytes());
    let body = [&b"\x10\0\0\x9d\x01\x2a"[..], &width, &height, b"pixel"].concat();
    riff(b"VP8 ", &body)
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let all = [b"WEBP".to_vec(), chunks.concat()].concat();
    [&b"RIFF"[..], &le(all.len()), &all].concat()
}

fn extended(width: usize, height: usize, flags: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let (width, height) = (le(width - 1), le(height - 1));
    let head = [&[flags, 0, 0, 0], &width[..3], &height[..3]].concat();
    webp(&[vec![riff(b"VP8X", &head)], chunks.to_vec()].concat())
}

/// One of each kind, with all that must be gone.
fn telling() -> Vec<(PictureKind, Vec<u8>)> {
    let text = |name: &[u8]| chunk(name, SECRET);
    let exif = [&b"Exif\0\0"[..], &tiff(1)].concat();
    let sub = [&[20][..], SECRET, &[0]].concat();
    let plus = |file: Vec<u8>| [file, SECRET.to_vec()].concat();
    let chunks = [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"prVt"].map(|name| text(name));
    let png = png(3, 2, &[chunks.concat(), chunk(b"eXIf", &tiff(1))]);
    let app = |mark: u8, name: &[u8]| segment(mark, &[name, SECRET].concat());
    let jpeg = jpeg(
        3,
        2,
        &[
            segment(0xe1, &exif),
            app(0xe1, b"http://ns.adobe.com/xap/1.0/\0"),
            app(0xe0, b"JFXX\0"),
            app(0xe2, b"MPF\0"),
            app(0xed, b"Photoshop 3.0\0"),
            app(0xfe, b""),
            app(0xf3, b""),
            app(0xe7, b"maker"),
            b"stray bytes".to_vec(),
        ],
    );
    let gif = gif(
        3,
        2,
        &[
            [&b"\x21\xfe"[..], &sub].concat(),
            [&b"\x21\xff\x0bXMP DataXMP"[..], &sub].concat(),
            [&b"\x21\x01"[..], &sub].concat(),
        ],
    );
    let webp = extended(
        3,
        2,
        0x0c,
        &[
            vp8(3, 2),
            riff(b"EXIF", &tiff(1)),
            riff(b"XMP ", SECRET),
            riff(b"ABCD", SECRET),
        ],
    );
    vec![
        (PictureKind::Png, plus(png)),
        (PictureKind::Jpeg, plus(jpeg)),
        (PictureKind::Gif, plus(gif)),
        (PictureKind::Webp, plus(webp)),
    ]
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_tells_of_people_is_gone_and_the_picture_is_the_same() {
    let plain = [
        png(3, 2, &[]),
        jpeg(3, 2, &[]),
        gif(3, 2, &[]),
        extended(3, 2, 0, &[vp8(3, 2)]),
    ];
    for ((kind, file), plain) in telling().into_iter().zip(plain) {
        assert!(holds(&file, SECRET));
        let picture = Picture::read(&file).unwrap();
        assert_eq!((picture.kind, picture.width, picture.height), (kind, 3, 2));
        assert_eq!(
            picture.data,
            Picture::read(&plain).unwrap().data,
            "{kind:?}"
        );
        assert!(!holds(&picture.data, SECRET), "{kind:?}");
        // Nothing of a file that says nothing is lost, but the fill before a marker.
        if kind != PictureKind::Jpeg {
            assert_eq!(picture.data, plain, "{kind:?}");
        }
        // What is kept is a picture of which nothing is to be left out.
        assert_eq!(Picture::read(&picture.data).unwrap(), picture);
        assert_eq!(PictureKind::of_mime(kind.mime()), Some(kind));
    }
}

#[test]
fn how_a_camera_was_held_is_kept() {
    for held in 0..=9 {
        let exif = [&b"Exif\0\0"[..], &tiff(held)].concat();
        let files = [
            png(30, 20, &[chunk(b"eXIf", &tiff(held))]),
            jpeg(30, 20, &[segment(0xe1, &exif)]),
            extended(30, 20, 8, &[vp8(30, 20), riff(b"EXIF", &tiff(held))]),
        ];
        for file in files {
            let picture = Picture::read(&file).unwrap();
            let sideways = matches!(held, 5..=8);
            let (width, height) = if sideways { (20, 30) } else { (30, 20) };
            assert_eq!((picture.width, picture.height), (width, height), "{held}");
            assert!(!holds(&picture.data, SECRET));
            let kept = holds(
                &picture.data,
                b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
            );
            assert_eq!(kept, matches!(held, 2..=8), "{held}");
            assert_eq!(Picture::read(&picture.data).unwrap(), picture);
        }
    }
}

#[test]
fn what_colours_and_movement_need_is_kept() {
    let profile = [&b"ICC_PROFILE\0\x01\x01"[..], SECRET].concat();
    let files = [
        jpeg(3, 2, &[segment(0xe2, &profile)]),
        jpeg(3, 2, &[segment(0xee, b"Adobe\0\x64\0\0\0\0\x01")]),
        png(3, 2, &[chunk(b"iCCP", SECRET), chunk(b"acTL", &[0; 8])]),
        gif(3, 2, &[b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0".to_vec()]),
        gif(3, 2, &[b"\x21\xf9\x04\0\x0a\0\0\0".to_vec()]),
        extended(3, 2, 0x20, &[riff(b"ICCP", SECRET), vp8(3, 2)]),
    ];
    for file in files {
        let picture = Picture::read(&file).unwrap();
        // But for the fill before the end of a JPEG.
        assert!(file.len() - picture.data.len() <= 1, "{:?}", picture.kind);
    }
}

#[test]
fn kinds_are_known_by_their_bytes_alone() {
    for no in [
        &b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"[..],
        b"<?xml version=\"1.0\"?><svg/>",
        b"BM6\0\0\0",
        b"II*\0\x08\0\0\0",
        b"\0\0\0\x20ftypheic",
        b"RIFF\x04\0\0\0WAVE",
        b"GIF90a",
        b"\x89PNG\n",
        b"text",
        b"",
    ] {
        assert_eq!(Picture::read(no), Err(PictureError::Unsupported), "{no:?}");
    }
}

#[test]
fn sizes_are_bounded_in_bytes_a_side_and_in_all() {
    let most = |file: &[u8]| Picture::read(file).map(|picture| (picture.width, picture.height));
    assert_eq!(most(&png(16_384, 3_906, &[])), Ok((16_384, 3_906)));
    assert_eq!(most(&png(8_000, 8_000, &[])), Ok((8_000, 8_000)));
    let many = |width, height| Err(PictureError::TooManyPixels { width, height });
    assert_eq!(most(&png(8_000, 8_001, &[])), many(8_000, 8_001));
    assert_eq!(most(&png(16_385, 1, &[])), many(16_385, 1));
    let whole = u32::MAX as usize;
    assert_eq!(most(&png(whole, whole, &[])), many(u32::MAX, u32::MAX));
    assert_eq!(most(&jpeg(65_535, 65_535, &[])), many(65_535, 65_535));
    assert_eq!(most(&gif(1, 16_385, &[])), many(1, 16_385));
    assert_eq!(
        most(&extended(1 << 24, 2, 0, &[vp8(1, 1)])),
        many(1 << 24, 2)
    );
    // What stands within may be no larger than what it stands in promises.
    assert_eq!(
        most(&extended(1, 1, 0, &[vp8(16_383, 16_383)])),
        many(16_383, 16_383)
    );
    let frame = b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\0".to_vec();
    assert_eq!(most(&gif(1, 1, &[frame])), many(65_535, 65_535));
    for none in [png(0, 1, &[]), jpeg(1, 0, &[]), gif(0, 0, &[])] {
        assert_eq!(most(&none), Err(PictureError::Damaged));
    }
    let mut long = png(1, 1, &[]);
    long.resize(PICTURE_BYTES_MAX + 1, 0);
    let limit = PICTURE_BYTES_MAX;
    assert_eq!(most(&long), Err(PictureError::TooLarge { limit }));
}

#[test]
fn what_promises_more_than_is_there_is_damaged() {
    let huge = [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xff\xff\xffIHDR"].concat();
    let first = png(1, 1, &[])[8 + 25..].to_vec();
    let files = [
        huge,
        // Data without a head, a second head, an unknown chunk that matters, and no data.
        [&b"\x89PNG\r\n\x1a\n"[..], &first].concat(),
        png(1, 1, &[chunk(b"IHDR", &[0; 13])]),
        png(1, 1, &[chunk(b"CgBI", &[0; 4])]),
        [&png(1, 1, &[])[..8 + 25], &chunk(b"IEND", b"")].concat(),
        b"\xff\xd8\xff\xd9".to_vec(),
        b"\xff\xd8\xff\xe1\0\x01".to_vec(),
        b"\xff\xd8\xff\xe1\xff\xff".to_vec(),
        [&b"\xff\xd8"[..], &jpeg(1, 1, &[])].concat(),
        b"GIF89a\x01\0\x01\0\0\0\0\x3b".to_vec(),
        b"RIFF\xff\xff\xff\xffWEBPVP8 ".to_vec(),
        webp(&[riff(b"EXIF", SECRET)]),
        webp(&[riff(b"VP8 ", b"\x10\0\0nothing")]),
        extended(1, 1, 0, &[riff(b"ICCP", SECRET)]),
    ];
    for file in files {
        assert_eq!(Picture::read(&file), Err(PictureError::Damaged), "{file:?}");
    }
    for (kind, file) in telling() {
        let whole = file.len() - SECRET.len();
        for end in 12..whole {
            let cut = Picture::read(&file[..end]);
            assert_eq!(cut, Err(PictureError::Damaged), "{kind:?} of {end} bytes");
        }
        assert!(Picture::read(&file[..whole]).is_ok());
    }
}

/// A picture of any kind, some of whose bytes are others.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    (0..4_usize, changes).prop_map(|(kind, changes)| {
        let mut file = telling().swap_remove(kind).1;
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_comes_is_a_picture_or_an_error(file in broken()) {
        if let Ok(picture) = Picture::read(&file) {
            // Little is added: how a camera was held, where it was told.
            prop_assert!(picture.data.len() <= file.len() + 40);
            prop_assert_eq!(Picture::read(&picture.data), Ok(picture.clone()));
            prop_assert!(picture.width > 0 && picture.height > 0);
        }
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(kind in 0..4_usize, rest in prop::collection::vec(any::<u8>(), 0..400)) {
        let magic: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x80\0\0\0WEBP"];
        let _ = Picture::read(&[magic[kind], &rest].concat());
    }
}
