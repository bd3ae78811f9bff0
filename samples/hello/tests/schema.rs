//! A change of the messages that breaks programs of before turns this red. What to do then stands in
//! the text of the failure.

#![forbid(unsafe_code)]

moorline::link!(hello);

#[test]
fn messages_are_what_they_were() {
    moorline::schema::assert_compatible("schema.txt");
}
