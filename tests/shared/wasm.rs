//! Encodes WebAssembly sections by hand.

/// An empty component.
pub const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A section: its id, its length and its content.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], number(content.len()).as_slice(), content].concat()
}

/// `component` with this content in the custom section of `mortise build`.
pub fn with_content(component: &[u8], content: &str) -> Vec<u8> {
    let name = b"mortise:plugin";
    let content = [number(name.len()).as_slice(), name, content.as_bytes()].concat();
    [component, &section(0, &content)].concat()
}

/// A number as unsigned LEB128.
pub fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
