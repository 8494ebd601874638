//! Puts the tiles of a picture job together.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns in pixels.
    pub width: usize,
    /// Rows in pixels.
    pub height: usize,
    /// Rows from the top, three bytes a pixel.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads a binary PPM (`P6`, 8 bits a channel).
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn from_ppm(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut rest = bytes;
        let mut word = || -> anyhow::Result<&str> {
            let start = rest
                .iter()
                .position(|byte| !byte.is_ascii_whitespace())
                .context("the picture's header ends early")?;
            let tail = rest.get(start..).unwrap_or_default();
            let end = tail
                .iter()
                .position(u8::is_ascii_whitespace)
                .context("the picture's header ends early")?;
            let (word, after) = tail.split_at(end);
            rest = after;
            Ok(std::str::from_utf8(word)?)
        };
        ensure!(word()? == "P6", "not a binary PPM");
        let width: usize = word()?.parse()?;
        let height: usize = word()?.parse()?;
        ensure!(word()? == "255", "not 8 bits a channel");
        ensure!(width <= 1 << 14 && height <= 1 << 14, "{width} x {height} is too large");
        let rgb = rest.get(1..).unwrap_or_default().to_vec();
        ensure!(
            rgb.len() == width * height * 3,
            "{} bytes for {width} x {height} pixels",
            rgb.len()
        );
        Ok(Self { width, height, rgb })
    }

    /// Puts equally large tiles into a grid of `columns`, row by row.
    ///
    /// # Errors
    /// No tile, an incomplete last row, or tiles of different sizes.
    pub fn assemble(tiles: &[Self], columns: usize) -> anyhow::Result<Self> {
        let first = tiles.first().context("no tile")?;
        ensure!(
            columns > 0 && tiles.len().is_multiple_of(columns),
            "{} tiles don't fill rows of {columns}",
            tiles.len()
        );
        let width = first.width * columns;
        let height = first.height * (tiles.len() / columns);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row_of_tiles in tiles.chunks(columns) {
            for y in 0..first.height {
                for tile in row_of_tiles {
                    ensure!(
                        (tile.width, tile.height) == (first.width, first.height),
                        "the tiles differ in size"
                    );
                    let stride = tile.width * 3;
                    rgb.extend_from_slice(
                        tile.rgb.get(y * stride..(y + 1) * stride).context("a short tile")?,
                    );
                }
            }
        }
        Ok(Self { width, height, rgb })
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// The file can't be written, or the picture is too large for the format.
    pub fn write_png(&self, path: &Path) -> anyhow::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder =
            png::Encoder::new(file, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.rgb)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn four_tiles_become_one_picture_row_by_row() {
        let tiles: Vec<Picture> = (0..4u8)
            .map(|shade| {
                let mut ppm = b"P6\n1 1\n255\n".to_vec();
                ppm.extend([shade; 3]);
                Picture::from_ppm(&ppm).unwrap()
            })
            .collect();
        let picture = Picture::assemble(&tiles, 2).unwrap();
        assert_eq!((picture.width, picture.height), (2, 2));
        assert_eq!(picture.rgb, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn a_short_picture_is_refused() {
        assert!(Picture::from_ppm(b"P6\n2 1\n255\nabc").is_err());
        assert!(Picture::from_ppm(b"P6\n2").is_err());
    }
}
