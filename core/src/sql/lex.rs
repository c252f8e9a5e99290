//! Tokens with their places, in words of our own. The lexer never fails and never recurses.

use squawk_lexer::{LiteralKind, TokenKind};

/// What a token is, as far as splitting and guarding need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    LineComment,
    BlockComment,
    Word,
    QuotedWord,
    Text,
    DollarText,
    Number,
    Param,
    Semi,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    Colon,
    Backslash,
    Operator,
    Other,
}

/// One token: `start..end` are byte offsets into the text it was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// False for a quote or comment that reaches the end of the text without being closed.
    pub closed: bool,
}

impl Token {
    /// Neither white space nor a comment.
    pub fn counts(self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::LineComment | Kind::BlockComment)
    }
}

/// The tokens of `text` from byte `from` on, which must be a character boundary.
pub(super) fn tokens(text: &str, from: usize) -> impl Iterator<Item = Token> + '_ {
    let rest = &text[from..];
    let mut at = from;
    squawk_lexer::tokenize(rest).take_while(|token| token.kind != TokenKind::Eof).map(move |token| {
        let start = at;
        at += token.len as usize;
        let (kind, closed) = kind_of(token.kind, &text[start..at]);
        Token { kind, start, end: at, closed }
    })
}

fn kind_of(kind: TokenKind, text: &str) -> (Kind, bool) {
    match kind {
        TokenKind::Whitespace => (Kind::Space, true),
        TokenKind::LineComment => (Kind::LineComment, true),
        TokenKind::BlockComment { terminated } => (Kind::BlockComment, terminated),
        TokenKind::Ident => (Kind::Word, true),
        TokenKind::QuotedIdent { terminated, .. } => (Kind::QuotedWord, terminated),
        TokenKind::Literal { kind } => match kind {
            LiteralKind::Int { .. } | LiteralKind::Numeric { .. } => (Kind::Number, true),
            LiteralKind::DollarQuotedString { terminated } => (Kind::DollarText, terminated),
            LiteralKind::Str { terminated }
            | LiteralKind::NationalStr { terminated }
            | LiteralKind::ByteStr { terminated }
            | LiteralKind::BitStr { terminated }
            | LiteralKind::UnicodeEscStr { terminated }
            | LiteralKind::EscStr { terminated } => (Kind::Text, terminated),
        },
        TokenKind::PositionalParam { .. } => (Kind::Param, true),
        TokenKind::Semi => (Kind::Semi, true),
        TokenKind::OpenParen => (Kind::OpenParen, true),
        TokenKind::CloseParen => (Kind::CloseParen, true),
        TokenKind::OpenBracket | TokenKind::OpenCurly => (Kind::OpenBracket, true),
        TokenKind::CloseBracket | TokenKind::CloseCurly => (Kind::CloseBracket, true),
        TokenKind::Comma => (Kind::Comma, true),
        TokenKind::Dot | TokenKind::DotDot => (Kind::Dot, true),
        TokenKind::Colon => (Kind::Colon, true),
        TokenKind::Unknown if text == "\\" => (Kind::Backslash, true),
        TokenKind::Unknown | TokenKind::Eof => (Kind::Other, true),
        _ => (Kind::Operator, true),
    }
}

/// What other modules of this crate need to know of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LexemeKind {
    Word,
    Number,
    Param,
    Colon,
    Comma,
    OpenParen,
    OpenBracket,
    CloseBracket,
    /// Any operator.
    Sign,
    Other,
}

/// A token that is neither white space nor a comment: bytes of the text, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexeme {
    pub kind: LexemeKind,
    pub start: usize,
    pub end: usize,
}

/// The tokens of a text, without white space and comments.
pub(crate) fn lexemes(text: &str) -> Vec<Lexeme> {
    let lexeme = |token: Token| Lexeme {
        kind: match token.kind {
            Kind::Word => LexemeKind::Word,
            Kind::Number => LexemeKind::Number,
            Kind::Param => LexemeKind::Param,
            Kind::Colon => LexemeKind::Colon,
            Kind::Comma => LexemeKind::Comma,
            Kind::OpenParen => LexemeKind::OpenParen,
            Kind::OpenBracket => LexemeKind::OpenBracket,
            Kind::CloseBracket => LexemeKind::CloseBracket,
            Kind::Operator => LexemeKind::Sign,
            _ => LexemeKind::Other,
        },
        start: token.start,
        end: token.end,
    };
    tokens(text, 0).filter(|token| token.counts()).map(lexeme).collect()
}
