//! Pictures that people attach: what kind one is, how large, and the same picture without what it
//! tells of who made it. Nothing is decoded: its blocks are walked, and each is kept or left out.
//!
//! Invariants: a kind is known by the first bytes and by nothing else. What comes out holds only blocks
//! that are listed here as needed to show it, so that places, names and previews of cameras are gone,
//! and so is whatever stood behind its end. No count of the file sets the size of an allocation, and
//! whatever is cut short ends in a [`PictureError`]. Because this is so little, it runs in the
//! server's own process, unlike the parsers of documents.

mod bytes;
mod exif;
mod gif;
mod jpeg;
mod png;
mod webp;

use bytes::Bytes;

/// Bytes of a picture.
pub const PICTURE_BYTES_MAX: usize = 10 << 20;
/// Pixels of a side.
pub const PICTURE_SIDE_MAX: u32 = 16_384;
/// Pixels in all: what a browser shows takes four bytes for each.
pub const PICTURE_PIXELS_MAX: u64 = 64_000_000;

/// Result of looking at a picture.
type Result<T> = std::result::Result<T, PictureError>;

/// Why a picture is not taken, for the person whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Of no kind that is shown.
    #[error("it is no picture that can be shown; allowed are PNG, JPEG, GIF and WebP")]
    Unsupported,
    /// More bytes than are kept.
    #[error("the picture is too large; allowed are {limit} bytes")]
    TooLarge {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// More pixels than a browser should be made to draw.
    #[error(
        "the picture has {width} x {height} pixels; allowed are {PICTURE_SIDE_MAX} a side and \
         {PICTURE_PIXELS_MAX} in all"
    )]
    TooManyPixels {
        /// Of a line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// It breaks the rules of its kind, or ends too soon.
    #[error("the picture is damaged, or not all of it is there")]
    Damaged,
}

impl PictureError {
    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsupported => "picture_unsupported",
            Self::TooLarge { .. } => "picture_too_large",
            Self::TooManyPixels { .. } => "picture_too_many_pixels",
            Self::Damaged => "picture_damaged",
        }
    }
}

/// A kind of picture that browsers show and that holds no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// PNG, animated ones too.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

impl PictureKind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp];

    /// Its media type.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The one of a media type.
    pub fn of_mime(mime: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.mime() == mime)
    }

    /// What these bytes begin as.
    pub fn of(data: &[u8]) -> Option<Self> {
        if data.starts_with(png::MAGIC) {
            Some(Self::Png)
        } else if data.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if data.starts_with(b"GIF87a") || data.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if data.starts_with(b"RIFF") && data.get(8..12) == Some(b"WEBP") {
            Some(Self::Webp)
        } else {
            None
        }
    }
}

/// Ends of names that say that a file is a picture, whatever it is.
const NAMES: [&str; 18] = [
    "png", "apng", "jpg", "jpeg", "jfif", "gif", "webp", "svg", "svgz", "bmp", "ico", "tif",
    "tiff", "heic", "heif", "avif", "jxl", "psd",
];

/// Whether who gave a file this name means a picture by it. It decides what a person is told when the
/// file is none, and nothing else.
pub fn is_called_a_picture(name: &str) -> bool {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    NAMES.iter().any(|known| end.eq_ignore_ascii_case(known))
}

/// A picture as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What it is.
    pub kind: PictureKind,
    /// Pixels of a line, as it is shown.
    pub width: u32,
    /// Lines, as it is shown.
    pub height: u32,
    /// The file, without what tells of who made it.
    pub data: Vec<u8>,
}

impl Picture {
    /// The picture in a file.
    pub fn read(data: &[u8]) -> Result<Self> {
        let kind = PictureKind::of(data).ok_or(PictureError::Unsupported)?;
        if data.len() > PICTURE_BYTES_MAX {
            return Err(PictureError::TooLarge {
                limit: PICTURE_BYTES_MAX,
            });
        }
        let kept = match kind {
            PictureKind::Png => png::clean(data),
            PictureKind::Jpeg => jpeg::clean(data),
            PictureKind::Gif => gif::clean(data),
            PictureKind::Webp => webp::clean(data),
        }?;
        let Size { width, height } = kept.size;
        let (width, height) = match kept.orientation {
            // Lying on its side.
            Some(5..=8) => (height, width),
            _ => (width, height),
        };
        Ok(Self {
            kind,
            width,
            height,
            data: kept.data,
        })
    }
}

/// What is left of a file.
struct Kept {
    size: Size,
    /// How a camera was held, which is kept: without it the picture would lie on its side.
    orientation: Option<u8>,
    data: Vec<u8>,
}

/// Pixels that may be drawn.
#[derive(Clone, Copy)]
struct Size {
    width: u32,
    height: u32,
}

impl Size {
    fn of(width: u32, height: u32) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(PictureError::Damaged);
        }
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > PICTURE_SIDE_MAX || pixels > PICTURE_PIXELS_MAX {
            return Err(PictureError::TooManyPixels { width, height });
        }
        Ok(Self { width, height })
    }
}
