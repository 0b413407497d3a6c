//! Shows a policy's problems as a compiler would: the place, the key, the line with a mark under the value, and help.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use softfuse::PolicyProblem;

/// Renders every problem of a text, one after another. Colours are stripped on the way where they aren't wanted.
pub(crate) fn render(name: &str, text: &str, problems: &[PolicyProblem]) -> String {
    let renderer = Renderer::styled();
    problems.iter().map(|problem| format!("{}\n\n", one(&renderer, name, text, problem))).collect()
}

fn one(renderer: &Renderer, name: &str, text: &str, problem: &PolicyProblem) -> String {
    let title = Level::ERROR.primary_title(problem.message.as_str());
    let title = if problem.key.is_empty() { title } else { title.id(problem.key.as_str()) };
    // One line is enough of the source: a problem is at one place.
    let (line, span) = marked(text, problem);
    let snippet = Snippet::source(line)
        .line_start(problem.line as usize)
        .path(name)
        .annotation(AnnotationKind::Primary.span(span).label(problem.nearest.as_ref().map(|_| "no such key")));
    let mut group = title.element(snippet);
    if let Some(nearest) = &problem.nearest {
        group = group.element(Level::HELP.message(format!("did you mean `{nearest}`?")));
    }
    renderer.render(&[group])
}

/// The line that a problem is in, and the bytes of it to mark.
fn marked<'t>(text: &'t str, problem: &PolicyProblem) -> (&'t str, Range<usize>) {
    let line = text.lines().nth((problem.line as usize).saturating_sub(1)).unwrap_or_default();
    let start = line.char_indices().nth((problem.column as usize).saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    // Of an unknown key its name is meant, which may stand a little behind the place, within a table.
    let name = problem.key.rsplit('.').next().filter(|name| problem.nearest.is_some() && !name.is_empty());
    if let Some(at) = name.and_then(|name| line[start..].find(name)) {
        let name = name.map_or(0, str::len);
        return (line, start + at..start + at + name);
    }
    (line, start..start + value_length(&line[start..]))
}

/// How long the key or value is that a text begins with: a word or number, a string, a table or array up to its bracket.
fn value_length(text: &str) -> usize {
    let close = match text.chars().next() {
        Some('{') => '}',
        Some('[') => ']',
        Some(quote @ ('"' | '\'')) => return text[1..].find(quote).map_or(text.len(), |end| end + 2),
        _ => {
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
            return text.find(|c| !word(c)).unwrap_or(text.len());
        }
    };
    let open = text.chars().next().unwrap_or_default();
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + close.len_utf8();
            }
        }
    }
    // It goes on in the next line: the bracket is enough.
    open.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_keys_and_values() {
        for (text, marked) in [
            ("windw = 5", "windw"),
            ("-1.5e3 # x", "-1.5e3"),
            ("\"60 s\" }", "\"60 s\""),
            ("{ a = { b = 1 } }, 2", "{ a = { b = 1 } }"),
            ("[1, [2]", "["),
            ("= 3", ""),
            ("", ""),
            ("\"open", "\"open"),
        ] {
            assert_eq!(&text[..value_length(text)], marked);
        }
    }

    #[test]
    fn places_beyond_the_text_are_shown_at_its_end() {
        let problem = PolicyProblem { line: 9, column: 9, key: String::new(), message: "m".into(), nearest: None };
        assert_eq!(marked("a\nb", &problem), ("", 0..0));
        assert!(render("p.toml", "", std::slice::from_ref(&problem)).contains("p.toml"));
    }
}
