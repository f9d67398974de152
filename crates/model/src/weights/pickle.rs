//! A reader of pickles that builds tensors' places and nothing else: no name is looked up, no
//! code runs, and every other opcode or global is refused with its name.

use std::collections::HashMap;
use std::rc::Rc;

use super::checkpoint::StoredDtype;

/// Deeper nesting than any state dict has; keeps dropping it inside a thread's stack.
const LARGEST_DEPTH: usize = 16;
/// More values and copies of values than reading any state dict makes: some fifty for each tensor.
/// Bounds time and memory, whatever the file says.
const LARGEST_WORK: usize = 1 << 24;

/// A storage that a pickle refers to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageRef {
    /// Its name among the file's records.
    pub(super) key: Rc<str>,
    /// Type of its numbers; none where it is no type of weights.
    pub(super) dtype: Option<StoredDtype>,
    /// Bytes of one of them.
    pub(super) width: usize,
    /// Numbers in it.
    pub(super) count: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    /// First number.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// Numbers between neighbours along each axis.
    pub(super) strides: Vec<usize>,
}

/// What a pickle can hold here.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nothing,
    Number(i64),
    Text(Rc<str>),
    /// The name of a type or function, without its module.
    Global(Rc<str>),
    Sequence(Rc<Sequence>),
    Map(Rc<Map>),
    Storage(StorageRef),
    Tensor(Rc<TensorRef>),
}

/// A tuple or list.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) items: Vec<Value>,
    depth: usize,
}

/// A dictionary, in the order of its entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub(super) entries: Vec<(Value, Value)>,
    depth: usize,
}

/// Reads one pickle from the front of `bytes`, which then begin after it.
///
/// # Errors
/// A sentence that names what was found.
pub(super) fn read(bytes: &mut &[u8]) -> Result<Value, String> {
    let mut machine = Machine { bytes: *bytes, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), work: 0 };
    let value = machine.run()?;
    *bytes = machine.bytes;
    Ok(value)
}

struct Machine<'a> {
    bytes: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// Opcodes and copied values so far.
    work: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let [code] = self.take::<1>()?;
            self.spend(1)?;
            match code {
                b'.' => return self.pop(),
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::Nothing),
                0x88 | 0x89 => self.stack.push(Value::Number(i64::from(code == 0x88))),
                b'K' => self.number(1)?,
                b'M' => self.number(2)?,
                b'J' => self.number(4)?,
                0x8a => {
                    let [length] = self.take::<1>()?;
                    self.long(usize::from(length))?;
                }
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Nothing);
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?) as usize;
                    self.text(length)?;
                }
                0x8c => {
                    let [length] = self.take::<1>()?;
                    self.text(usize::from(length))?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Text(name), Value::Text(module)) => self.global(module, name)?,
                    _ => return Err("a global without a name".to_string()),
                },
                b'q' => {
                    let [at] = self.take::<1>()?;
                    self.memoize(u32::from(at))?;
                }
                b'r' => {
                    let at = u32::from_le_bytes(self.take()?);
                    self.memoize(at)?;
                }
                0x94 => self.memoize(self.memo.len() as u32)?,
                b'h' => {
                    let [at] = self.take::<1>()?;
                    self.recall(u32::from(at))?;
                }
                b'j' => {
                    let at = u32::from_le_bytes(self.take()?);
                    self.recall(at)?;
                }
                b')' | b']' => self.sequence(Vec::new())?,
                b't' | b'l' => {
                    let items = self.pop_mark()?;
                    self.sequence(items)?;
                }
                0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or("a tuple of more than there is")?;
                    let items = self.stack.split_off(start);
                    self.sequence(items)?;
                }
                b'}' => self.stack.push(Value::Map(Rc::default())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend_map(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend_map(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend_list(items)?;
                }
                // An ordered map's attributes: nothing here reads them.
                b'b' => drop(self.pop()?),
                b'Q' => {
                    let reference = self.pop()?;
                    self.stack.push(Value::Storage(storage(&reference)?));
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.stack.push(call(&function, &arguments)?);
                }
                other => return Err(format!("opcode {other:#04x}, which no file of tensors needs")),
            }
        }
    }

    fn spend(&mut self, work: usize) -> Result<(), String> {
        self.work = self.work.saturating_add(work);
        match self.work <= LARGEST_WORK {
            true => Ok(()),
            false => Err(format!("more than {LARGEST_WORK} values, expected the names and places of tensors")),
        }
    }

    fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], String> {
        let (taken, rest) = self.bytes.split_first_chunk::<COUNT>().ok_or("the end inside a value")?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn number(&mut self, length: usize) -> Result<(), String> {
        // Four bytes are signed, fewer are not.
        let value = match length {
            1 => i64::from(self.take::<1>()?[0]),
            2 => i64::from(u16::from_le_bytes(self.take()?)),
            _ => i64::from(i32::from_le_bytes(self.take()?)),
        };
        self.stack.push(Value::Number(value));
        Ok(())
    }

    fn long(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.bytes.get(..length).ok_or("the end inside a value")?;
        // Longer ones are version marks, which nothing here reads.
        let value = (length <= 8).then(|| {
            let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
            let mut all = [sign; 8];
            all[..length].copy_from_slice(bytes);
            i64::from_le_bytes(all)
        });
        self.bytes = &self.bytes[length..];
        self.stack.push(value.map_or(Value::Nothing, Value::Number));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.bytes.get(..length).ok_or("the end inside a text")?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8")?;
        self.stack.push(Value::Text(text.into()));
        self.bytes = &self.bytes[length..];
        Ok(())
    }

    fn line(&mut self) -> Result<Rc<str>, String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').ok_or("the end inside a name")?;
        let line = std::str::from_utf8(&self.bytes[..end]).map_err(|_| "a name that is not UTF-8")?;
        self.bytes = &self.bytes[end + 1..];
        Ok(line.into())
    }

    /// Notes a global's name; only those that mean tensors may be noted.
    fn global(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), String> {
        let is_known = match &*module {
            "collections" => &*name == "OrderedDict",
            "torch._utils" => matches!(&*name, "_rebuild_tensor_v2" | "_rebuild_parameter"),
            "torch" => name.ends_with("Storage") && name.chars().all(char::is_alphanumeric),
            _ => false,
        };
        if !is_known {
            return Err(format!("a call of {module}.{name}, expected tensors alone; nothing of it was run"));
        }
        self.stack.push(Value::Global(name));
        Ok(())
    }

    fn memoize(&mut self, at: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or("a note of nothing")?.clone();
        self.memo.insert(at, value);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), String> {
        let value = self.memo.get(&at).ok_or("a reference to nothing")?.clone();
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "an operation on nothing".to_string())
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, String> {
        let start = self.marks.pop().filter(|start| *start <= self.stack.len()).ok_or("an end without a beginning")?;
        Ok(self.stack.split_off(start))
    }

    fn sequence(&mut self, items: Vec<Value>) -> Result<(), String> {
        let sequence = nested(items)?;
        self.stack.push(Value::Sequence(Rc::new(sequence)));
        Ok(())
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Sequence(list)) = self.stack.last_mut() else {
            return Err("items without a list".to_string());
        };
        let added = nested(items)?;
        // A list that is noted elsewhere is copied; others grow in place.
        let copied = if Rc::get_mut(list).is_some() { 0 } else { list.items.len() };
        let list = Rc::make_mut(list);
        list.depth = list.depth.max(added.depth);
        list.items.extend(added.items);
        self.spend(copied)
    }

    fn extend_map(&mut self, items: Vec<Value>) -> Result<(), String> {
        let added = nested(items)?;
        let Some(Value::Map(map)) = self.stack.last_mut() else {
            return Err("entries without a map".to_string());
        };
        let copied = if Rc::get_mut(map).is_some() { 0 } else { map.entries.len() };
        let map = Rc::make_mut(map);
        map.depth = map.depth.max(added.depth);
        let mut items = added.items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            map.entries.push((key, value));
        }
        self.spend(copied)
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Sequence(sequence) => sequence.depth,
        Value::Map(map) => map.depth.max(1),
        _ => 0,
    }
}

fn nested(items: Vec<Value>) -> Result<Sequence, String> {
    let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
    if depth > LARGEST_DEPTH {
        return Err(format!("values nested more than {LARGEST_DEPTH} deep"));
    }
    Ok(Sequence { items, depth })
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Sequence(sequence) => &sequence.items,
        _ => &[],
    }
}

/// `('storage', type, key, place, count)`.
fn storage(reference: &Value) -> Result<StorageRef, String> {
    let [Value::Text(kind), Value::Global(class), Value::Text(key), _, Value::Number(count), ..] = items(reference) else {
        return Err("a reference that is no storage".to_string());
    };
    if &**kind != "storage" {
        return Err(format!("a reference to {kind:?}, expected a storage"));
    }
    let (dtype, width) = match &**class {
        "FloatStorage" => (Some(StoredDtype::F32), 4),
        "HalfStorage" => (Some(StoredDtype::F16), 2),
        "BFloat16Storage" => (Some(StoredDtype::Bf16), 2),
        "DoubleStorage" => (Some(StoredDtype::F64), 8),
        "LongStorage" => (None, 8),
        "IntStorage" => (None, 4),
        "ShortStorage" => (None, 2),
        "CharStorage" | "ByteStorage" | "BoolStorage" => (None, 1),
        other => return Err(format!("a storage of type {other}")),
    };
    let count = usize::try_from(*count).map_err(|_| "a storage of negative size")?;
    Ok(StorageRef { key: Rc::clone(key), dtype, width, count })
}

fn call(function: &Value, arguments: &Value) -> Result<Value, String> {
    let Value::Global(name) = function else { return Err("a call of something without a name".to_string()) };
    match (&**name, items(arguments)) {
        ("OrderedDict", []) => Ok(Value::Map(Rc::default())),
        ("_rebuild_parameter", [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
        ("_rebuild_tensor_v2", [Value::Storage(storage), Value::Number(offset), shape, strides, ..]) => {
            let tensor = TensorRef {
                storage: storage.clone(),
                offset: usize::try_from(*offset).map_err(|_| "a tensor that begins before its storage")?,
                shape: sizes(shape)?,
                strides: sizes(strides)?,
            };
            check_extent(&tensor)?;
            Ok(Value::Tensor(Rc::new(tensor)))
        }
        (name, _) => Err(format!("a call of {name} with arguments that it does not have")),
    }
}

fn sizes(value: &Value) -> Result<Vec<usize>, String> {
    items(value)
        .iter()
        .map(|item| match item {
            Value::Number(number) => usize::try_from(*number).map_err(|_| format!("a size of {number}")),
            _ => Err("a size that is no number".to_string()),
        })
        .collect()
}

/// A tensor lies inside its storage and names no number twice more than the storage has.
fn check_extent(tensor: &TensorRef) -> Result<(), String> {
    let count = tensor.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    let is_inside = match count {
        _ if tensor.shape.len() != tensor.strides.len() => false,
        None => false,
        Some(0) => true,
        Some(count) => {
            let last =
                tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (size, stride)| {
                    (size - 1).checked_mul(*stride).and_then(|step| last.checked_add(step))
                });
            count <= tensor.storage.count && last.is_some_and(|last| last < tensor.storage.count)
        }
    };
    match is_inside {
        true => Ok(()),
        false => Err(format!(
            "a tensor of shape {:?}, strides {:?} and offset {} in a storage of {}",
            tensor.shape, tensor.strides, tensor.offset, tensor.storage.count
        )),
    }
}
