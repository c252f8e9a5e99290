//! The facts that need the parser: which rows change, what is called, what stays opaque.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind, SyntaxNode};

use super::super::guard::{self, Refusal, inside_quotes};
use super::super::name::ObjectName;
use super::{Body, Dml, DmlKind, Opaque, Place, Reading};

/// How deep functions and DO blocks inside bodies are followed.
const BODY_DEPTH_MAX: usize = 8;

/// First words of texts whose changes of rows are read where they are executed.
const CHANGES_ROWS: [&str; 7] = ["DELETE", "INSERT", "MERGE", "SELECT", "TRUNCATE", "UPDATE", "WITH"];

/// What the parser shows of one statement.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub reading: Reading,
    pub dml: Vec<Dml>,
    pub opaque: Vec<Opaque>,
    pub calls: BTreeSet<ObjectName>,
    /// COMMIT or ROLLBACK in a block that runs.
    pub commits: bool,
    /// The function that the statement makes, with what its body does.
    pub defines: Option<(ObjectName, Body)>,
}

impl Tree {
    fn new(reading: Reading) -> Tree {
        Tree {
            reading,
            dml: Vec::new(),
            opaque: Vec::new(),
            calls: BTreeSet::new(),
            commits: false,
            defines: None,
        }
    }

    pub fn refused(refusal: Refusal) -> Tree {
        Tree::new(Reading::Refused(refusal))
    }
}

/// Parses one statement that starts on `line` of its script. To be called on a large stack, after the guard.
pub(super) fn read(text: &str, line: u32) -> Tree {
    // The parser is somebody else's: should it break down on a text, that text is read by its words.
    catch_unwind(AssertUnwindSafe(|| parse(text, line)))
        .unwrap_or_else(|_| Tree::refused(Refusal::ParserPanicked))
}

fn parse(text: &str, line: u32) -> Tree {
    let parsed = SourceFile::parse(text);
    let root = parsed.syntax_node();
    let mut tree = Tree::new(Reading::Parsed);
    if let Some(error) = parsed.errors().first() {
        let at = usize::from(error.range().start()).min(text.len());
        let message = error.message().to_owned();
        tree.reading = Reading::Rejected { message, line: line_at(text, at, line) };
        return tree;
    }
    let mut walk = Walk { text, line, place: Place::Direct, depth: 0, tree };
    walk.node(&root);
    walk.tree
}

fn line_at(text: &str, at: usize, first_line: u32) -> u32 {
    let newlines = text.as_bytes()[..at.min(text.len())].split(|byte| *byte == b'\n').count() - 1;
    first_line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX))
}

struct Walk<'a> {
    /// The text that the nodes' ranges point into.
    text: &'a str,
    line: u32,
    place: Place,
    depth: usize,
    tree: Tree,
}

impl Walk<'_> {
    fn line_of(&self, node: &SyntaxNode) -> u32 {
        line_at(self.text, usize::from(node.text_range().start()), self.line)
    }

    fn node(&mut self, root: &SyntaxNode) {
        // A stack of our own instead of recursion, and children last to first so that they come in order.
        let mut waiting = vec![root.clone()];
        while let Some(node) = waiting.pop() {
            match node.kind() {
                // What stands in it runs later, with somebody else's statement.
                SyntaxKind::CREATE_RULE => continue,
                SyntaxKind::CREATE_FUNCTION | SyntaxKind::CREATE_PROCEDURE => {
                    self.routine(&node);
                    continue;
                }
                SyntaxKind::DO => self.do_block(&node),
                SyntaxKind::INSERT => self.dml(DmlKind::Insert, &node),
                SyntaxKind::UPDATE => self.dml(DmlKind::Update, &node),
                SyntaxKind::DELETE => self.dml(DmlKind::Delete, &node),
                SyntaxKind::MERGE => self.dml(DmlKind::Merge, &node),
                SyntaxKind::COPY if node.children().any(|child| child.kind() == SyntaxKind::COPY_FROM) => {
                    self.dml(DmlKind::CopyFrom, &node);
                }
                SyntaxKind::TRUNCATE => self.truncate(&node),
                SyntaxKind::CALL_EXPR | SyntaxKind::CALL | SyntaxKind::PLPGSQL_CALL_STMT => self.call(&node),
                SyntaxKind::PLPGSQL_DYN_EXECUTE_STMT
                | SyntaxKind::PLPGSQL_FOR_DYN_STMT
                | SyntaxKind::PLPGSQL_OPEN_EXECUTE
                | SyntaxKind::PLPGSQL_RETURN_QUERY_EXECUTE_STMT => self.opaque(&node),
                SyntaxKind::PLPGSQL_COMMIT_STMT | SyntaxKind::PLPGSQL_ROLLBACK_STMT => {
                    self.tree.commits = true;
                }
                _ => {}
            }
            let mut children: Vec<SyntaxNode> = node.children().collect();
            children.reverse();
            waiting.extend(children);
        }
    }

    fn dml(&mut self, kind: DmlKind, node: &SyntaxNode) {
        let target = node.children().find(|child| child.kind() != SyntaxKind::WITH_CLAUSE);
        self.push(kind, target.as_ref().and_then(path_in), node);
    }

    fn truncate(&mut self, node: &SyntaxNode) {
        let tables: Vec<SyntaxNode> =
            node.descendants().filter(|node| node.kind() == SyntaxKind::TABLE_NAME_REF).collect();
        for table in &tables {
            self.push(DmlKind::Truncate, path_in(table), node);
        }
        if tables.is_empty() {
            self.push(DmlKind::Truncate, None, node);
        }
    }

    fn push(&mut self, kind: DmlKind, table: Option<ObjectName>, node: &SyntaxNode) {
        let line = self.line_of(node);
        self.tree.dml.push(Dml { kind, table, place: self.place.clone(), line });
    }

    /// The name in front of the arguments, whatever shape the parser gives it.
    fn call(&mut self, node: &SyntaxNode) {
        let text = node.text().to_string();
        let before = text.split('(').next().unwrap_or_default().trim();
        let name = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        self.tree.calls.extend(ObjectName::parse(name));
    }

    fn opaque(&mut self, node: &SyntaxNode) {
        if let Some(inner) = constant(node).and_then(|text| self.executed(&text, node)) {
            self.tree.dml.extend(inner.dml);
            self.tree.opaque.extend(inner.opaque);
            self.tree.calls.extend(inner.calls);
            return;
        }
        let first_text = node
            .descendants_with_tokens()
            .filter_map(SyntaxElement::into_token)
            .find(|token| matches!(token.kind(), SyntaxKind::STRING | SyntaxKind::DOLLAR_QUOTED_STRING))
            .map(|token| token.text().to_owned());
        let verb = first_text.as_deref().and_then(first_word);
        self.tree.opaque.push(Opaque { place: self.place.clone(), line: self.line_of(node), verb });
    }

    /// What a text does to rows that is executed as it stands; nothing if it is there for something else, or cannot be read.
    fn executed(&self, text: &str, node: &SyntaxNode) -> Option<Tree> {
        let verb = first_word(text)?;
        let is_read = CHANGES_ROWS.contains(&verb.as_str()) && self.depth < BODY_DEPTH_MAX;
        let mut budget = guard::PARSE_BYTES_MAX;
        guard::check(text, &mut budget).ok().filter(|()| is_read)?;
        let parsed = SourceFile::parse(text);
        let tree =
            self.body(&parsed.syntax_node(), text, self.line_of(node), self.place.clone(), &parsed.errors());
        Some(tree)
    }

    fn do_block(&mut self, node: &SyntaxNode) {
        let Some(block) = ast::Do::cast(node.clone()) else { return };
        let line = self.line_of(node);
        let place = if self.place == Place::Direct { Place::DoBlock } else { self.place.clone() };
        let readable = self.depth < BODY_DEPTH_MAX;
        let Some(language_body) = readable.then(|| block.plpgsql()).flatten() else {
            self.tree.opaque.push(Opaque { place, line, verb: None });
            return;
        };
        let inner =
            self.body(&language_body.syntax(), language_body.text(), line, place, &language_body.errors());
        self.tree.commits |= inner.commits;
        self.tree.dml.extend(inner.dml);
        self.tree.opaque.extend(inner.opaque);
        self.tree.calls.extend(inner.calls);
    }

    fn routine(&mut self, node: &SyntaxNode) {
        let line = self.line_of(node);
        let name = node.children().find(|child| {
            matches!(child.kind(), SyntaxKind::FUNCTION_NAME | SyntaxKind::PROCEDURE_NAME | SyntaxKind::PATH)
        });
        let Some(name) = name.as_ref().and_then(path_in).or_else(|| path_in(node)) else { return };
        let body = if self.depth < BODY_DEPTH_MAX { self.routine_body(node, &name, line) } else { None };
        let unread = || Body {
            opaque: vec![Opaque { place: Place::Function(name.clone()), line, verb: None }],
            ..Body::default()
        };
        let body = body.unwrap_or_else(unread);
        self.tree.defines = Some((name, body));
    }

    /// What the body does, if it is in a language that is read.
    fn routine_body(&self, node: &SyntaxNode, name: &ObjectName, line: u32) -> Option<Body> {
        let place = Place::Function(name.clone());
        let function = ast::CreateFunction::cast(node.clone());
        let procedure = ast::CreateProcedure::cast(node.clone());
        let plpgsql = function
            .as_ref()
            .and_then(ast::CreateFunction::plpgsql)
            .or_else(|| procedure.as_ref().and_then(ast::CreateProcedure::plpgsql));
        let sql = function
            .as_ref()
            .and_then(ast::CreateFunction::sql_body)
            .or_else(|| procedure.as_ref().and_then(ast::CreateProcedure::sql_body));
        let tree = match (plpgsql, sql) {
            (Some(body), _) => self.body(&body.syntax(), body.text(), line, place, &body.errors()),
            (None, Some(body)) => self.body(&body.syntax(), body.text(), line, place, &body.errors()),
            (None, None) => return self.standard_body(node, name),
        };
        Some(Body { dml: tree.dml, opaque: tree.opaque, calls: tree.calls })
    }

    /// The body of a function in the SQL standard's way: BEGIN ATOMIC ... END, or RETURN.
    fn standard_body(&self, node: &SyntaxNode, name: &ObjectName) -> Option<Body> {
        let body = node
            .descendants()
            .find(|node| matches!(node.kind(), SyntaxKind::ATOMIC_BODY | SyntaxKind::RETURN_STMT))?;
        let mut walk = Walk {
            text: self.text,
            line: self.line,
            place: Place::Function(name.clone()),
            depth: self.depth + 1,
            tree: Tree::new(Reading::Parsed),
        };
        walk.node(&body);
        Some(Body { dml: walk.tree.dml, opaque: walk.tree.opaque, calls: walk.tree.calls })
    }

    fn body<E>(&self, root: &SyntaxNode, text: &str, line: u32, place: Place, errors: &[E]) -> Tree {
        let mut tree = Tree::new(Reading::Parsed);
        if !errors.is_empty() {
            tree.opaque.push(Opaque { place: place.clone(), line, verb: None });
        }
        let mut walk = Walk { text, line, place, depth: self.depth + 1, tree };
        walk.node(root);
        walk.tree
    }
}

/// The text that `EXECUTE` is given, where that is one literal and nothing put together.
fn constant(node: &SyntaxNode) -> Option<String> {
    let tokens = node.descendants_with_tokens().filter_map(SyntaxElement::into_token);
    let mut tokens = tokens.filter(|token| !token.kind().is_trivia());
    tokens.next().filter(|token| token.text().eq_ignore_ascii_case("execute"))?;
    let literal = tokens.next()?;
    let is_end =
        |text: &str| text == ";" || text.eq_ignore_ascii_case("using") || text.eq_ignore_ascii_case("into");
    if tokens.next().is_some_and(|token| !is_end(token.text())) {
        return None;
    }
    match literal.kind() {
        SyntaxKind::DOLLAR_QUOTED_STRING => Some(inside_quotes(literal.text()).to_owned()),
        SyntaxKind::STRING => Some(inside_quotes(literal.text()).replace("''", "'")),
        _ => None,
    }
}

/// The object that `node` names first.
fn path_in(node: &SyntaxNode) -> Option<ObjectName> {
    let path =
        node.descendants().find(|node| matches!(node.kind(), SyntaxKind::PATH_REF | SyntaxKind::PATH))?;
    ObjectName::parse(&path.text().to_string())
}

/// The first word inside a literal, in capitals.
fn first_word(literal: &str) -> Option<String> {
    let text = inside_quotes(literal).trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    (end > 0 && end < 32).then(|| text[..end].to_ascii_uppercase())
}
