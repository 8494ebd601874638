//! Puts the tiles of a picture job together.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// Most columns or rows of a picture.
const SIDE_MAX: usize = 1 << 14;

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

/// A part of a picture, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Size of the whole picture, columns and rows.
    pub whole: (usize, usize),
    /// The pixels.
    pub picture: Picture,
}

impl Tile {
    /// Reads a binary PPM (`P6`, 8 bits a channel) whose second line is
    /// `# tile LEFT TOP of WIDTH HEIGHT`.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn from_ppm(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
        let mut line = || -> anyhow::Result<&str> {
            Ok(std::str::from_utf8(
                parts.next().context("the picture's header ends early")?,
            )?)
        };
        ensure!(line()? == "P6", "not a binary PPM");
        let place = line()?
            .strip_prefix("# tile ")
            .context("the tile does not say where it belongs")?;
        let (corner, whole) = place
            .split_once(" of ")
            .context("the tile does not say of what it is one")?;
        let (left, top) = pair(corner)?;
        let whole = pair(whole)?;
        let (width, height) = pair(line()?)?;
        ensure!(line()? == "255", "not 8 bits a channel");
        let rgb = parts.next().unwrap_or_default().to_vec();
        ensure!(
            rgb.len() == width * height * 3,
            "{} bytes for {width} x {height} pixels",
            rgb.len()
        );
        ensure!(
            left + width <= whole.0 && top + height <= whole.1,
            "the tile lies outside the picture"
        );
        Ok(Self {
            left,
            top,
            whole,
            picture: Picture { width, height, rgb },
        })
    }
}

fn pair(text: &str) -> anyhow::Result<(usize, usize)> {
    let (first, second) = text.split_once(' ').context("two numbers are wanted")?;
    let (first, second): (usize, usize) = (first.parse()?, second.parse()?);
    ensure!(
        first <= SIDE_MAX && second <= SIDE_MAX,
        "{first} x {second} is too large"
    );
    Ok((first, second))
}

impl Picture {
    /// Puts tiles into the picture of which they all say they are a part.
    ///
    /// # Errors
    /// No tile, tiles of different pictures, or a pixel that no tile or more than one covers.
    pub fn assemble(tiles: &[Tile]) -> anyhow::Result<Self> {
        let (width, height) = tiles.first().context("no tile")?.whole;
        let mut rgb = vec![0; width * height * 3];
        let mut covered = vec![false; width * height];
        for tile in tiles {
            ensure!(
                tile.whole == (width, height),
                "the tiles belong to different pictures"
            );
            let columns = tile.picture.width;
            for (y, row) in tile.picture.rgb.chunks_exact(columns * 3).enumerate() {
                let start = (tile.top + y) * width + tile.left;
                rgb[start * 3..(start + columns) * 3].copy_from_slice(row);
                for pixel in &mut covered[start..start + columns] {
                    ensure!(!*pixel, "two tiles cover the same pixel");
                    *pixel = true;
                }
            }
        }
        let missing = covered.iter().filter(|covered| !**covered).count();
        ensure!(missing == 0, "{missing} pixels are missing");
        Ok(Self { width, height, rgb })
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// The file can't be written, or the picture is too large for the format.
    pub fn write_png(&self, path: &Path) -> anyhow::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(
            file,
            u32::try_from(self.width)?,
            u32::try_from(self.height)?,
        );
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

    fn tile(left: u8, top: u8, shade: u8) -> Vec<u8> {
        let mut ppm = format!("P6\n# tile {left} {top} of 2 2\n1 1\n255\n").into_bytes();
        ppm.extend([shade; 3]);
        ppm
    }

    #[test]
    fn tiles_in_any_order_become_one_picture() {
        let tiles: Vec<Tile> = [(1, 1, 10), (0, 0, 1), (1, 0, 2), (0, 1, 3)]
            .map(|(left, top, shade)| Tile::from_ppm(&tile(left, top, shade)).unwrap())
            .to_vec();
        let picture = Picture::assemble(&tiles).unwrap();
        assert_eq!((picture.width, picture.height), (2, 2));
        assert_eq!(picture.rgb, [1, 1, 1, 2, 2, 2, 3, 3, 3, 10, 10, 10]);
    }

    #[test]
    fn a_missing_or_a_doubled_tile_is_noticed() {
        let one = Tile::from_ppm(&tile(0, 0, 1)).unwrap();
        assert!(Picture::assemble(std::slice::from_ref(&one)).is_err());
        assert!(Picture::assemble(&[one.clone(), one]).is_err());
    }

    #[test]
    fn a_damaged_tile_is_refused() {
        let whole = tile(0, 0, 1);
        for length in 0..whole.len() {
            assert!(Tile::from_ppm(&whole[..length]).is_err());
        }
        assert!(Tile::from_ppm(&tile(2, 0, 1)).is_err());
    }
}
