//! The protocol-buffer message of a `.model` file, read field by field; only what
//! decides ids is kept, and nothing is trusted.
//!
//! Source: the field numbers of `sentencepiece_model.proto` (`ModelProto`).

use super::{Algorithm, Piece, PieceKind, PieceModel};
use crate::error::TokenizerError;

/// Where bytes end too early, or say what cannot be.
type Fault = String;

/// A field's payload by wire type.
enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64,
    Bytes(&'a [u8]),
}

/// Reads a SentencePiece model.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file` where the bytes are no such model.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<PieceModel, TokenizerError> {
    parse_model(bytes).map_err(|fault| {
        let hint =
            if looks_like_tiktoken(bytes) { "; it looks like a tiktoken vocabulary, use a folder with a tokenizer.json" } else { "" };
        TokenizerError::malformed(file, format!("not a SentencePiece model, {fault}{hint}"))
    })
}

/// Lines of base64 text and a number are the other kind of `tokenizer.model`.
fn looks_like_tiktoken(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let head = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    !head.is_empty() && head.iter().all(is_base64)
}

fn parse_model(bytes: &[u8]) -> Result<PieceModel, Fault> {
    let mut model = PieceModel {
        pieces: Vec::new(),
        algorithm: Algorithm::Unigram,
        byte_fallback: false,
        unk_id: Some(0),
        bos_id: Some(1),
        eos_id: Some(2),
        pad_id: None,
        charsmap: Vec::new(),
        add_dummy_prefix: true,
        remove_extra_whitespaces: true,
        whitespace_as_suffix: false,
    };
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(piece)) => model.pieces.push(parse_piece(piece)?),
            (2, Field::Bytes(trainer)) => parse_trainer(trainer, &mut model)?,
            (3, Field::Bytes(normalizer)) => parse_normalizer(normalizer, &mut model)?,
            _ => {}
        }
        Ok(())
    })?;
    if model.pieces.is_empty() {
        return Err("found no pieces".to_owned());
    }
    let count = model.pieces.len();
    for id in [model.unk_id, model.bos_id, model.eos_id, model.pad_id] {
        if let Some(id) = id.filter(|id| *id as usize >= count) {
            return Err(format!("found special id {id} among {count} pieces"));
        }
    }
    Ok(model)
}

fn parse_piece(bytes: &[u8]) -> Result<Piece, Fault> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(text)) => piece.text = utf8(text)?,
            (2, Field::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
            (3, Field::Varint(kind)) => {
                piece.kind = match kind {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    other => return Err(format!("found a piece of type {other}, expected 1 to 6")),
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if !piece.score.is_finite() {
        return Err(format!("the score of piece {:?} is {}", piece.text, piece.score));
    }
    Ok(piece)
}

fn parse_trainer(bytes: &[u8], model: &mut PieceModel) -> Result<(), Fault> {
    // Negative ids, written as very large numbers, mean that there is none.
    let id = |value: u64| u32::try_from(value).ok();
    each_field(bytes, |number, field| {
        let Field::Varint(value) = field else {
            return Ok(());
        };
        match number {
            3 => {
                model.algorithm = match value {
                    1 => Algorithm::Unigram,
                    2 => Algorithm::Bpe,
                    3 => Algorithm::Word,
                    4 => Algorithm::Char,
                    other => return Err(format!("found model type {other}, expected 1 to 4")),
                }
            }
            24 => model.whitespace_as_suffix = value != 0,
            35 => model.byte_fallback = value != 0,
            40 => model.unk_id = id(value),
            41 => model.bos_id = id(value),
            42 => model.eos_id = id(value),
            43 => model.pad_id = id(value),
            _ => {}
        }
        Ok(())
    })
}

fn parse_normalizer(bytes: &[u8], model: &mut PieceModel) -> Result<(), Fault> {
    each_field(bytes, |number, field| {
        match (number, field) {
            (2, Field::Bytes(map)) => model.charsmap = map.to_vec(),
            (3, Field::Varint(flag)) => model.add_dummy_prefix = flag != 0,
            (4, Field::Varint(flag)) => model.remove_extra_whitespaces = flag != 0,
            _ => {}
        }
        Ok(())
    })
}

fn utf8(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|error| format!("a piece is not UTF-8 text, {error}"))
}

/// Calls `take` for every field of a message.
fn each_field<'a>(mut bytes: &'a [u8], mut take: impl FnMut(u64, Field<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)?),
            1 => {
                split(&mut bytes, 8)?;
                Field::Fixed64
            }
            2 => {
                let length = varint(&mut bytes)?;
                let length = usize::try_from(length).map_err(|_| format!("found a field of {length} bytes"))?;
                Field::Bytes(split(&mut bytes, length)?)
            }
            5 => {
                let part = split(&mut bytes, 4)?;
                Field::Fixed32([part[0], part[1], part[2], part[3]])
            }
            other => return Err(format!("found wire type {other}, expected 0, 1, 2 or 5")),
        };
        take(tag >> 3, field)?;
    }
    Ok(())
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    if length > bytes.len() {
        return Err(format!("found {} more bytes, expected {length}: the file is cut short", bytes.len()));
    }
    let (head, tail) = bytes.split_at(length);
    *bytes = tail;
    Ok(head)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = split(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("found a number of more than ten bytes".to_owned())
}
