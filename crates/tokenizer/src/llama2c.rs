//! The `tok*.bin` vocabulary of llama2.c: scored pieces without kinds, which its
//! conventions give back.
//!
//! Layout: `u32` longest piece; then for each piece `f32` score, `u32` length, bytes.
//! Ids 0, 1, 2 are unknown, beginning and end; bytes stand as `<0x0A>`; the visible
//! space was replaced by a real one.

use crate::error::TokenizerError;
use crate::sentencepiece::{Algorithm, Piece, PieceKind, PieceModel};

/// Reads a llama2.c vocabulary.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file` where the bytes are no such vocabulary.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<PieceModel, TokenizerError> {
    let fail = |reason: String| TokenizerError::malformed(file, format!("not a llama2.c vocabulary, {reason}"));
    let mut rest = bytes;
    let longest = take_word(&mut rest).ok_or_else(|| fail("the file is empty".to_owned()))?;
    let longest = u32::from_le_bytes(longest) as usize;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let id = pieces.len();
        let cut = || fail(format!("it ends inside piece {id}"));
        let score = f32::from_le_bytes(take_word(&mut rest).ok_or_else(cut)?);
        let length = u32::from_le_bytes(take_word(&mut rest).ok_or_else(cut)?) as usize;
        if length > longest || !score.is_finite() {
            return Err(fail(format!("piece {id} has length {length} and score {score}, expected at most {longest} bytes")));
        }
        let text = rest.get(..length).ok_or_else(cut)?;
        rest = &rest[length..];
        let text = std::str::from_utf8(text).map_err(|error| fail(format!("piece {id} is not UTF-8 text, {error}")))?;
        pieces.push(piece(id, text, score));
    }
    if pieces.len() < 3 {
        return Err(fail(format!("found {} pieces, expected at least 3", pieces.len())));
    }
    Ok(PieceModel {
        byte_fallback: pieces.iter().any(|piece| piece.kind == PieceKind::Byte),
        pieces,
        algorithm: Algorithm::Bpe,
        unk_id: Some(0),
        bos_id: Some(1),
        eos_id: Some(2),
        pad_id: None,
        charsmap: Vec::new(),
        add_dummy_prefix: true,
        remove_extra_whitespaces: false,
        whitespace_as_suffix: false,
    })
}

fn piece(id: usize, text: &str, score: f32) -> Piece {
    let is_byte = text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
    let (text, kind) = match id {
        0 => ("<unk>".to_owned(), PieceKind::Unknown),
        1 => ("<s>".to_owned(), PieceKind::Control),
        2 => ("</s>".to_owned(), PieceKind::Control),
        _ if is_byte => (text.to_owned(), PieceKind::Byte),
        _ => (text.replace(' ', "\u{2581}"), PieceKind::Normal),
    };
    Piece { text, score, kind }
}

fn take_word(bytes: &mut &[u8]) -> Option<[u8; 4]> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(*word)
}
