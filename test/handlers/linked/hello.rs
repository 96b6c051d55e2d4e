// hello.rs - answers {"name":"Ada"} with {"greeting":"Hello, Ada!"}. A panic ends the process.
// SPDX-License-Identifier: MIT-0
#![no_std]
use core::{ffi::c_void, ptr, slice};

type Say = extern "C" fn(to: *mut c_void, kind: *const u8, bytes: *const u8, length: usize);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    extern "C" { fn abort() -> !; }
    unsafe { abort() }
}

fn greet<'a>(event: &[u8], answer: &'a mut [u8]) -> Option<&'a [u8]> {
    let name = event.strip_prefix(b"{\"name\":\"")?.split(|byte| *byte == b'"').next()?;
    let mut length = 0;
    for part in [b"{\"greeting\":\"Hello, ", name, b"!\"}"] {
        answer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    answer.get(..length)
}

#[no_mangle]
extern "C" fn handle_event(event: *const u8, length: usize, say: Say, to: *mut c_void) {
    match greet(unsafe { slice::from_raw_parts(event, length) }, &mut [0; 256]) {
        Some(answer) => say(to, ptr::null(), answer.as_ptr(), answer.len()),
        None => say(to, b"Function.NoName\0".as_ptr(), b"no short name".as_ptr(), 13),
    }
}
