//! Descriptors that travel with calls and replies.

use std::fs::File;
use std::io::{Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use transom_control::{CallError, DESCRIPTORS_MAX, Descriptor};

use crate::service::{Echo, Odd, Open, Read, open_descriptors, start, wait_for_descriptors};

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn they_belong_to_the_message_that_they_were_sent_with() {
    let running = start();
    let mut client = running.client();
    for round in 0..3 {
        let files = [file(&format!("a{round}")), file("b")];
        let call = Read {
            files: vec![Descriptor(1), Descriptor(0)],
        };
        let sent = [files[0].as_fd(), files[1].as_fd()];
        let (reply, _) = client.call_with_descriptors(&call, &sent).unwrap();
        assert_eq!(reply.texts, ["b".to_owned(), format!("a{round}")]);
    }
    // Those of the message before are gone.
    let missing = client.call(&Read {
        files: vec![Descriptor(0)],
    });
    assert!(matches!(
        missing,
        Err(CallError::Method(Odd::Odd { number: 0 }))
    ));
}

/// Sends bytes with descriptors, as one piece.
fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    let bytes = [std::io::IoSlice::new(bytes)];
    let sent = sendmsg(stream, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes[0].len());
}

#[test]
fn calls_that_were_sent_ahead_have_theirs() {
    let running = start();
    let mut stream = UnixStream::connect(&running.path).unwrap();
    let read = b"{\"method\":\"io.transom.Test.Read\",\"parameters\":{\"files\":[0]}}\0";
    let echo = b"{\"method\":\"io.transom.Test.Echo\",\"parameters\":{\"text\":\"-\"}}\0";
    // The kernel may glue what has no descriptors to what has some.
    stream.write_all(echo).unwrap();
    send(&stream, read, &[file("one").as_fd()]);
    stream.write_all(echo).unwrap();
    send(&stream, &read[..20], &[file("two").as_fd()]);
    stream.write_all(&[&read[20..], echo].concat()).unwrap();
    send(
        &stream,
        &[&echo[..], read].concat(),
        &[file("three").as_fd()],
    );
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let replies = std::io::read_to_string(&stream).unwrap();
    let echoed = r#"{"parameters":{"text":"-"}}"#;
    let texts: Vec<_> = replies
        .split_terminator('\0')
        .filter(|reply| *reply != echoed)
        .collect();
    assert_eq!(
        texts,
        ["one", "two", "three"].map(|text| format!(r#"{{"parameters":{{"texts":["{text}"]}}}}"#))
    );
    assert_eq!(replies.matches(echoed).count(), 4);
}

#[test]
fn as_many_as_a_message_can_have_go_both_ways() {
    let running = start();
    let mut client = running.client();
    client.call(&Echo { text: "".into() }).unwrap();
    let before = open_descriptors();
    let count = u32::try_from(DESCRIPTORS_MAX).unwrap();

    let call = Open { count };
    let (reply, mut opened) = client.call_with_descriptors(&call, &[]).unwrap();
    let files: Vec<_> = reply
        .files
        .iter()
        .map(|file| opened.take(*file).unwrap())
        .collect();
    assert!(opened.take(Descriptor(0)).is_err(), "it was taken");
    assert!(opened.take(Descriptor(count)).is_err());
    wait_for_descriptors(before + DESCRIPTORS_MAX);

    let sent: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let call = Read { files: reply.files };
    let (reply, _) = client.call_with_descriptors(&call, &sent).unwrap();
    assert_eq!(reply.texts.len(), DESCRIPTORS_MAX);
    drop(files);
    wait_for_descriptors(before);

    // One more cannot be sent: the connection ends.
    let too_many = client.call(&Open { count: count + 1 });
    assert!(matches!(too_many, Err(CallError::Connection(_))));
    running.check();
}

#[test]
fn those_that_nobody_takes_are_closed() {
    let running = start();
    let mut client = running.client();
    let text = String::from("x");
    client.call(&Echo { text: text.clone() }).unwrap();
    let before = open_descriptors();
    let file = file("");
    let sent = [file.as_fd(); DESCRIPTORS_MAX];
    for _ in 0..100 {
        let call = Echo { text: text.clone() };
        client.call_with_descriptors(&call, &sent).unwrap();
        let (_, opened) = client
            .call_with_descriptors(&Open { count: 9 }, &[])
            .unwrap();
        drop(opened);
    }
    wait_for_descriptors(before + 1);
}

#[test]
fn a_message_with_more_than_it_can_have_ends_the_connection() {
    let running = start();
    let before = open_descriptors();
    let file = file("");
    let stream = UnixStream::connect(&running.path).unwrap();
    // Each part is within the limit of the kernel.
    send(&stream, b"{\"method\"", &[file.as_fd(); 200]);
    send(&stream, b":\"io.transom.Test.Echo\"", &[file.as_fd(); 200]);
    running.service.wait_for_ends(1);
    drop((file, stream));
    wait_for_descriptors(before);
    running.check();
}
