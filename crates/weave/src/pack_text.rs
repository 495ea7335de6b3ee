//! `pack.yaml` as it is written: what a YAML reader checks (words, kinds of values), and from there to rules that are sound
//! in themselves, with the line of whatever is not. `docs/pack.schema.json` is made from these types.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::action::{self, Action, Anchored, Hook, HookCalls};
use crate::condition::{self, Condition, Kind, NeverHolds};
use crate::imports::{self, FunctionName, MethodName};
use crate::pack::{self, Edit, Hooks, Place, Rule, SpanKind, Spans};
use crate::parse::GoFile;
use crate::version::VersionRange;

/// The JSON schema of `pack.yaml`, for editors.
pub fn schema() -> String {
    let schema = sorted(schemars::schema_for!(PackText).to_value());
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

/// With the words of each object in order, however the crate that holds them was built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let ordered: BTreeMap<String, Value> = object.into_iter().collect();
            Value::Object(ordered.into_iter().map(|(word, value)| (word, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// What is wrong, and where in the file.
#[derive(Debug)]
pub struct Problem {
    /// A sentence fragment for people.
    pub text: String,
    /// Where; nothing is the start of the file.
    pub at: Option<Location>,
}

/// The hooks of one library, for `tandem go`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tandem pack", rename = "Pack")]
pub struct PackText {
    /// Name shown to people; unique.
    pub pack: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Path of the module that is edited; absent: the standard library, or the user's own module.
    pub module: Option<String>,
    /// The hooks are another pack's.
    pub hooks_of: Option<HooksOfText>,
    /// In the order in which they are applied.
    #[schemars(with = "Vec<RuleText>")]
    pub rules: Vec<Spanned<RuleText>>,
    /// What the pack makes: its test checks it, its page shows it.
    #[serde(default)]
    #[schemars(with = "Vec<SpansText>")]
    pub spans: Vec<Spanned<SpansText>>,
}

/// Hooks that are another pack's, whose library is the same under another path. Files in this pack's own hooks/ come before them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HooksOf")]
pub struct HooksOfText {
    /// The other pack's folder, which lies beside this one's, or else is one of Tandem's.
    #[schemars(with = "String")]
    pack: Spanned<String>,
    /// Pieces of its hooks' text, and what stands in their place here: the library's path, names of operations and scopes.
    #[serde(default)]
    replace: BTreeMap<String, String>,
}

/// Spans of one scope and kind, and what they carry. Of several that fit a span one must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Spans")]
pub struct SpansText {
    /// The scope that the hooks give to NewOp: `tandem/` and the library.
    #[schemars(with = "String")]
    scope: Spanned<String>,
    /// The kind of the spans.
    kind: SpanKind,
    /// The ids that the hooks give to NewOp: each begins with the pack's name and a dot.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    operations: Vec<Spanned<String>>,
    /// Whether they are made when nobody says so; off: the hooks say OffByDefault.
    #[serde(default)]
    default: ByDefault,
    /// One line for people: which operation's they are.
    #[serde(default)]
    description: String,
    /// Attributes that each of them has.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    always: Vec<Spanned<String>>,
    /// Attributes that they may have. No others occur; `error.type` is there exactly where the span is an error.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    sometimes: Vec<Spanned<String>>,
}

/// One join point: applied whole or not at all. One edit can stand in the rule itself.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub struct RuleText {
    /// The join point's name, unique over all packs.
    #[schemars(with = "String")]
    id: Spanned<String>,
    /// One line for people: what is lost where the rule does not match.
    #[serde(default)]
    description: String,
    /// Import path of the edited package; `path/...` is all packages below it too.
    #[schemars(with = "String")]
    target: Spanned<String>,
    /// Versions of the module that the rule fits.
    #[schemars(with = "Option<String>")]
    version: Option<Spanned<VersionRange>>,
    /// Versions of Go that the rule fits.
    #[schemars(with = "Option<String>")]
    go: Option<Spanned<VersionRange>>,
    /// Whether it is woven when nobody says so; off: only where `enable:` in tandem.yaml names it or the pack.
    #[serde(default)]
    default: ByDefault,
    /// Files from hooks/ that are added to the package.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    add_files: Vec<Spanned<String>>,
    /// Rules that must have matched too.
    #[serde(default)]
    needs: Vec<String>,
    /// The places and what is done there.
    #[serde(default)]
    #[schemars(with = "Vec<EditText>")]
    edits: Vec<Spanned<EditText>>,
    /// The only place, instead of `edits`.
    #[serde(rename = "where")]
    #[schemars(with = "Option<WhereText>")]
    place: Option<Spanned<WhereText>>,
    /// What is done at the only place.
    #[serde(rename = "do")]
    #[schemars(with = "Option<ActionText>")]
    action: Option<Spanned<ActionText>>,
    /// Actions of which the first that fits is used, instead of `do`.
    #[serde(default)]
    #[schemars(with = "Vec<ActionText>")]
    any_of: Vec<Spanned<ActionText>>,
}

/// Whether something is on when nobody says so.
#[derive(Default, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ByDefault {
    #[default]
    On,
    Off,
}

/// A place and what is done there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Edit")]
struct EditText {
    /// The place.
    #[serde(rename = "where")]
    #[schemars(with = "WhereText")]
    place: Spanned<WhereText>,
    /// What is done.
    #[serde(rename = "do")]
    #[schemars(with = "Option<ActionText>")]
    action: Option<Spanned<ActionText>>,
    /// Actions of which the first that fits is used, instead of `do`.
    #[serde(default)]
    #[schemars(with = "Vec<ActionText>")]
    any_of: Vec<Spanned<ActionText>>,
    /// Outside these versions of Go the edit is not needed.
    #[schemars(with = "Option<String>")]
    go: Option<Spanned<VersionRange>>,
    /// Outside these versions of the module the edit is not needed.
    #[schemars(with = "Option<String>")]
    version: Option<Spanned<VersionRange>>,
    /// The rule holds without it.
    #[serde(default)]
    optional: bool,
}

/// Conditions that all hold at the place.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Where")]
struct WhereText {
    /// Name of a function, or with `recv` of a method; `*` and `?` make it a pattern.
    func: Option<String>,
    /// The receiver's type as in the source: `*DB`; type parameters may be left out.
    recv: Option<String>,
    /// Name of a struct type; `*` and `?` make it a pattern.
    #[serde(rename = "struct")]
    structure: Option<String>,
    /// A call of this function: `net/http.Get`, under whatever name the file imports the package.
    function_call: Option<String>,
    /// A call of this method: `net/http.Client.Do`, through whatever value is of that type, points to one or embeds one.
    method_call: Option<String>,
    /// A function literal, by what Go calls it after the name of the function around it: `func1` is the first in it, `func1.2`
    /// the second in that; `*` and `?` make it a pattern.
    closure: Option<String>,
    /// The types of all parameters and all results.
    signature: Option<SignatureText>,
    /// One of the types is that of a parameter, or one that of a result.
    signature_contains: Option<SignatureText>,
    /// Type of a parameter, packages by import path: `*net/http.Request`.
    param: Option<String>,
    /// Type of a result.
    result: Option<String>,
    /// Type of the last result.
    last_result: Option<String>,
    /// A comment above the function, without its slashes: `acme:trace` is `//acme:trace`.
    directive: Option<String>,
    /// Base name of the file; `*` and `?` make it a pattern.
    file: Option<String>,
    /// Name in the package clause; `*` and `?` make it a pattern.
    package: Option<String>,
    /// Each of these holds.
    #[serde(rename = "all-of")]
    all_of: Option<Vec<WhereText>>,
    /// One of these holds.
    #[serde(rename = "one-of")]
    one_of: Option<Vec<WhereText>>,
    /// This does not hold.
    not: Option<Box<WhereText>>,
}

/// Types, with packages by import path: `context.Context`, `*net/http.Request`, `...string`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Signature")]
struct SignatureText {
    /// Types of the parameters.
    args: Option<Vec<String>>,
    /// Types of the results.
    returns: Option<Vec<String>>,
}

/// What is done at a place. An item of `any_of` may say `do:` before it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Action")]
struct ActionText {
    /// A piece of source before which `insert` goes.
    before: Option<String>,
    /// A piece of source after which `insert` goes.
    after: Option<String>,
    /// A piece of source for which `with` stands.
    replace: Option<String>,
    /// The text for `before` and `after`.
    insert: Option<String>,
    /// The text for `replace`.
    with: Option<String>,
    /// How many places the piece of source has; 1 if not given.
    count: Option<usize>,
    /// First statements of the function.
    enter: Option<String>,
    /// Fields at the end of the struct.
    add_fields: Option<String>,
    /// Declarations at the end of the file.
    add_declaration: Option<String>,
    /// A hook that is called when the function is entered.
    call_before: Option<String>,
    /// Arguments of `call_before`; without it the receiver and all parameters.
    args: Option<Vec<String>>,
    /// A hook that is called when the function is left, also by a panic.
    call_after: Option<String>,
    /// Arguments of `call_after`; without it what `call_before` returned, and pointers to all results.
    after_args: Option<Vec<String>>,
    /// A hook through which an argument of the call, or a parameter of the function, goes.
    wrap_argument: Option<String>,
    /// Which argument `wrap_argument` means, from 0.
    argument: Option<usize>,
    /// A hook through which the results of the call go.
    wrap_result: Option<String>,
    /// A hook that is called instead: with the function that the call names, then its arguments.
    wrap_call: Option<String>,
    /// Arguments after the last one of the call.
    append_args: Option<Vec<String>>,
    /// Actions of which the first that fits is used.
    #[serde(default)]
    any_of: Vec<ActionText>,
    /// The action, in an item of `any_of`.
    #[serde(rename = "do")]
    action: Option<Box<ActionText>>,
}

/// What the conversion of a rule looks things up in.
struct Surroundings<'a> {
    hooks: &'a Hooks,
    rule: &'a str,
    /// Which edit of the rule it is.
    edit: usize,
}

impl HooksOfText {
    /// Adds the other pack's hooks to a pack's own. `others` knows packs by folder.
    pub fn add(&self, hooks: &mut Hooks, others: &dyn Fn(&str) -> Option<Hooks>) -> Result<(), Problem> {
        let name = self.pack.value.as_str();
        let theirs = others(name).filter(|_| !name.contains(['/', '\\']));
        let theirs = theirs.ok_or_else(|| problem(format!("there is no pack {name} beside this one"), &self.pack))?;
        if let Some(piece) = self.replace.keys().find(|piece| !theirs.values().any(|text| text.contains(*piece))) {
            return Err(problem(format!("the hooks of {name} do not contain {piece:?}"), &self.pack));
        }
        for (file, text) in theirs {
            hooks.entry(file).or_insert_with(|| replaced(&text, &self.replace));
        }
        Ok(())
    }
}

/// `text` with other pieces in it. Of several that begin at one place the longest is meant; what was put in is not looked at.
pub fn replaced(text: &str, pieces: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let fitting = pieces.iter().filter(|(piece, _)| !piece.is_empty() && rest.starts_with(piece.as_str()));
        match fitting.max_by_key(|(piece, _)| piece.len()) {
            Some((piece, instead)) => {
                result.push_str(instead);
                rest = &rest[piece.len()..];
            }
            None => {
                result.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    result
}

impl SpansText {
    /// The sound promise.
    pub fn spans(self, pack: &str) -> Result<Spans, Problem> {
        for operation in &self.operations {
            if !operation.value.strip_prefix(pack).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.')) {
                return Err(problem(format!("an operation of {pack} is named {pack}. and more"), operation));
            }
        }
        if self.scope.value.is_empty() || self.scope.value.contains(char::is_whitespace) {
            return Err(problem("`scope` is the one that the hooks give to NewOp", &self.scope));
        }
        let mut known = BTreeSet::new();
        for key in self.always.iter().chain(&self.sometimes) {
            let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
            if key.value.is_empty() || !key.value.chars().all(is_key) {
                return Err(problem(format!("{:?} is no attribute's key", key.value), key));
            }
            if !known.insert(key.value.as_str()) {
                return Err(problem(format!("{} is promised twice", key.value), key));
            }
        }
        let off = self.default == ByDefault::Off;
        let keys = |keys: Vec<Spanned<String>>| keys.into_iter().map(|key| key.value).collect();
        let (scope, always, sometimes) = (self.scope.value, keys(self.always), keys(self.sometimes));
        let operations = keys(self.operations);
        Ok(Spans { scope, kind: self.kind, description: self.description, operations, off, always, sometimes })
    }
}

impl RuleText {
    /// The sound rule.
    pub fn rule(self, hooks: &Hooks) -> Result<Rule, Problem> {
        let (id, target) = (self.id.clone(), &self.target);
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if id.value.is_empty() || !id.value.chars().all(is_name) {
            return Err(problem("a rule's id is made of letters, digits and . _ - /", &id));
        }
        pack::check_target(&target.value).map_err(|text| problem(text, target))?;
        check_range(self.version.as_ref())?;
        check_range(self.go.as_ref())?;
        for file in &self.add_files {
            if !hooks.contains_key(&file.value) {
                let near = nearest(&file.value, hooks.keys().map(String::as_str));
                return Err(problem(format!("rule {}: there is no hooks/{}{near}", id.value, file.value), file));
            }
        }
        let mut edits = Vec::new();
        let single = self.place.is_some() || self.action.is_some() || !self.any_of.is_empty();
        if single && !self.edits.is_empty() {
            return Err(problem("a rule has `edits`, or one `where` with `do`, not both", &id));
        }
        if single {
            let place = self.place.ok_or_else(|| problem("`do` needs a `where`", &id))?;
            let edit =
                EditText { place, action: self.action, any_of: self.any_of, go: None, version: None, optional: false };
            edits.push(edit.edit(&Surroundings { hooks, rule: &id.value, edit: 0 })?);
        }
        for (index, text) in self.edits.into_iter().enumerate() {
            edits.push(text.value.edit(&Surroundings { hooks, rule: &id.value, edit: index })?);
        }
        Ok(Rule {
            id: self.id.value,
            description: self.description,
            target: self.target.value,
            version: self.version.map(|range| range.value),
            go: self.go.map(|range| range.value),
            add_files: self.add_files.into_iter().map(|file| file.value).collect(),
            needs: self.needs,
            off: self.default == ByDefault::Off,
            edits,
        })
    }
}

fn problem<T>(text: impl Into<String>, at: &Spanned<T>) -> Problem {
    Problem { text: text.into(), at: Some(at.referenced) }
}

/// `; did you mean …?`, if one of `known` is near.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|known| (strsim::damerau_levenshtein(word, known), known));
    let best = near.filter(|(distance, known)| *distance <= 1 + known.len().max(word.len()) / 4).min();
    best.map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"))
}

fn check_range(range: Option<&Spanned<VersionRange>>) -> Result<(), Problem> {
    match range.filter(|range| range.value.is_empty()) {
        Some(range) => Err(problem(format!("no version lies in {}", range.value), range)),
        None => Ok(()),
    }
}

impl EditText {
    fn edit(self, around: &Surroundings<'_>) -> Result<Edit, Problem> {
        check_range(self.go.as_ref())?;
        check_range(self.version.as_ref())?;
        let place_at = self.place.referenced;
        let at_place = |text: String| Problem { text, at: Some(place_at) };
        let mut condition = self.place.value.condition().map_err(at_place)?;
        let never = |NeverHolds(reason)| at_place(format!("this `where` can never match: {reason}"));
        let kind = condition.kind().map_err(never)?;
        if let Condition::All(parts) = &mut condition
            && parts.len() == 1
        {
            condition = parts.remove(0);
        }
        let mut alternatives = Vec::new();
        for text in self.action.into_iter().chain(self.any_of) {
            let at = text.referenced;
            let actions = text.value.actions(around, kind).map_err(|text| Problem { text, at: Some(at) })?;
            alternatives.extend(actions);
        }
        if alternatives.is_empty() {
            return Err(at_place("an edit needs `do` or `any_of`".into()));
        }
        let (go, version) = (self.go.map(|range| range.value), self.version.map(|range| range.value));
        Ok(Edit { place: Place { kind, condition }, alternatives, go, version, optional: self.optional })
    }
}

impl WhereText {
    fn condition(self) -> Result<Condition, String> {
        let mut parts = Vec::new();
        if let Some(file) = self.file {
            if file.contains('/') || !(file.ends_with(".go") || condition::is_pattern(&file)) {
                return Err(format!("`file` is the base name of a Go file, {file:?} is not"));
            }
            parts.push(Condition::File(file));
        }
        if let Some(package) = self.package {
            parts.push(Condition::Package(pattern("package", package)?));
        }
        if let Some(recv) = &self.recv {
            let is_type = |text: &str| imports::is_identifier(text.split('[').next().unwrap_or_default());
            if !is_type(recv.trim_start_matches('*')) || recv.starts_with("**") {
                return Err(format!("`recv` is a type of the package, as `DB` or `*DB`, {recv:?} is not"));
            }
        }
        let receiver = self.recv.map(|recv| recv.split_whitespace().collect());
        if let Some(func) = self.func {
            // A name without a receiver is a plain function.
            parts.push(Condition::Function(pattern("func", func)?));
            parts.push(Condition::Receiver(receiver));
        } else if receiver.is_some() {
            parts.push(Condition::Receiver(receiver));
        }
        if let Some(structure) = self.structure {
            parts.push(Condition::Structure(pattern("struct", structure)?));
        }
        if let Some(call) = self.function_call {
            let name = FunctionName::parse(&call);
            parts.push(Condition::FunctionCall(name.ok_or_else(|| {
                format!("`function_call` is import path and name, as `net/http.Get`, {call:?} is not")
            })?));
        }
        if let Some(method) = self.method_call {
            let name = MethodName::parse(&method);
            parts.push(Condition::MethodCall(name.ok_or_else(|| {
                format!("`method_call` is import path, type and method, as `net/http.Client.Do`, {method:?} is not")
            })?));
        }
        if let Some(closure) = self.closure {
            let numbers =
                |text: &str| text.split('.').all(|number| number.parse::<u32>().is_ok_and(|number| number > 0));
            let is_pattern =
                condition::is_pattern(&closure) && closure.chars().all(|c| c.is_alphanumeric() || ".*?".contains(c));
            if !is_pattern && !closure.strip_prefix("func").is_some_and(numbers) {
                return Err(format!(
                    "`closure` is what Go calls a function literal, `func1`, `func1.2`, or a pattern of it, {closure:?} is not"
                ));
            }
            parts.push(Condition::Closure(closure));
        }
        if let Some(SignatureText { args, returns }) = self.signature {
            let (args, returns) = (args.map(types).transpose()?, returns.map(types).transpose()?);
            parts.push(Condition::Signature(args, returns));
        }
        if let Some(SignatureText { args, returns }) = self.signature_contains {
            let (args, returns) = (types(args.unwrap_or_default())?, types(returns.unwrap_or_default())?);
            if args.is_empty() && returns.is_empty() {
                return Err("`signature_contains` needs `args` or `returns`: nothing contains one of none".into());
            }
            parts.push(Condition::SignatureContains(args, returns));
        }
        parts.extend(self.param.map(one_type).transpose()?.map(Condition::Parameter));
        parts.extend(self.result.map(one_type).transpose()?.map(Condition::Result));
        parts.extend(self.last_result.map(one_type).transpose()?.map(Condition::LastResult));
        if let Some(directive) = self.directive {
            let name = directive.trim_start_matches('/').to_owned();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(format!("`directive` is one word, as `acme:trace`, {directive:?} is not"));
            }
            parts.push(Condition::Directive(name));
        }
        let list = |texts: Vec<WhereText>| texts.into_iter().map(WhereText::condition).collect::<Result<Vec<_>, _>>();
        parts.extend(self.all_of.map(list).transpose()?.map(Condition::All));
        parts.extend(self.one_of.map(list).transpose()?.map(Condition::Any));
        if let Some(inner) = self.not {
            parts.push(Condition::Not(Box::new(inner.condition()?)));
        }
        if parts.is_empty() {
            return Err(
                "`where` needs a word that says what it is about, as `func`, `struct`, `closure`, `function_call` or `file`"
                    .into(),
            );
        }
        Ok(Condition::All(parts))
    }
}

/// A name or a pattern of one.
fn pattern(word: &str, text: String) -> Result<String, String> {
    if imports::is_identifier(&text.replace(['*', '?'], "x")) {
        return Ok(text);
    }
    let hint = if word == "func" { "; the receiver of a method is given by `recv`" } else { "" };
    Err(format!("`{word}` is a name or a pattern of one, {text:?} is not{hint}"))
}

fn types(texts: Vec<String>) -> Result<Vec<String>, String> {
    texts.into_iter().map(one_type).collect()
}

fn one_type(text: String) -> Result<String, String> {
    let wanted = imports::wanted_type(&text);
    // Import paths are no Go: what stands before the last slash of a word is left out for this check.
    let source: String = wanted
        .split_inclusive(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')))
        .map(|word| word.rsplit_once('/').map_or(word, |(_, last)| last))
        .collect();
    let source =
        format!("package p\n\nfunc f({})\n", if source.starts_with("...") { format!("x {source}") } else { source });
    if wanted.is_empty() || GoFile::parse(&source).is_none() {
        return Err(format!("{text:?} is not a Go type; packages are named by import path, as `*net/http.Request`"));
    }
    Ok(wanted)
}

impl ActionText {
    fn actions(self, around: &Surroundings<'_>, kind: Kind) -> Result<Vec<Action>, String> {
        let mut found = Vec::new();
        let ActionText { any_of, action, .. } = self;
        if let Some(action) = action {
            found.extend(action.actions(around, kind)?);
        }
        for item in any_of {
            found.extend(item.actions(around, kind)?);
        }
        if found.is_empty() {
            let rest = ActionText { any_of: Vec::new(), action: None, ..self };
            found.push(rest.action(around, kind)?);
        }
        Ok(found)
    }

    fn action(self, around: &Surroundings<'_>, kind: Kind) -> Result<Action, String> {
        self.check_companions()?;
        let anchored = |anchor: String, text: Option<String>| -> Result<Anchored, String> {
            if crate::token::tokens(&anchor).ranges.is_empty() {
                return Err("the piece of source is empty".into());
            }
            Ok(Anchored { anchor, text: text.unwrap_or_default(), count: self.count.unwrap_or(1) })
        };
        let mut found = Vec::new();
        if let Some(anchor) = self.before {
            found.push(("before", Action::Before(anchored(anchor, self.insert.clone())?)));
        }
        if let Some(anchor) = self.after {
            found.push(("after", Action::After(anchored(anchor, self.insert)?)));
        }
        if let Some(anchor) = self.replace {
            found.push(("replace", Action::Replace(anchored(anchor, self.with)?)));
        }
        found.extend(self.enter.map(|text| ("enter", Action::Enter(text))));
        found.extend(self.add_fields.map(|text| ("add_fields", Action::AddFields(text))));
        if let Some(text) = self.add_declaration {
            if !is_declaration(&text) {
                return Err(format!("{text:?} is not a declaration"));
            }
            found.push(("add_declaration", Action::AddDeclaration(text)));
        }
        if self.call_before.is_some() || self.call_after.is_some() {
            let calls = around.hook_calls((self.call_before, self.args), (self.call_after, self.after_args))?;
            found.push(("call_before", Action::Call(calls)));
        }
        if let Some(name) = self.wrap_argument {
            let index = self.argument.ok_or("`wrap_argument` needs `argument`, the number of the argument from 0")?;
            found.push(("wrap_argument", Action::WrapArgument(index, around.hook_for(&name, 1, Some(1))?.name)));
        }
        if let Some(name) = self.wrap_result {
            found.push(("wrap_result", Action::WrapResult(around.hook(&name)?.name)));
        }
        if let Some(name) = self.wrap_call {
            let hook = around.hook(&name)?;
            if hook.parameters == 0 {
                return Err(format!("{name} has no parameter for the function that it is called instead of"));
            }
            found.push(("wrap_call", Action::WrapCall(hook)));
        }
        if let Some(arguments) = self.append_args {
            check_expressions(&arguments)?;
            found.push(("append_args", Action::AppendArguments(arguments)));
        }
        let number = found.len();
        let Some((word, action)) = found.pop().filter(|_| number == 1) else {
            let forms = "`before` or `after` with `insert`, `replace` with `with`, `enter`, `call_before` and/or `call_after`, \
                         `wrap_argument`, `wrap_result`, `wrap_call`, `append_args`, `add_fields`, `add_declaration`";
            return Err(format!("an action is one of {forms}"));
        };
        check_text(action.text().unwrap_or_default())?;
        check_kind(word, &action, kind)?;
        Ok(action)
    }

    /// Words that mean something only beside another.
    fn check_companions(&self) -> Result<(), String> {
        let anchors = self.before.is_some() || self.after.is_some();
        for (is_there, word, has_companion, companion) in [
            (self.insert.is_some(), "insert", anchors, "`before` or `after`"),
            (anchors, "before` or `after", self.insert.is_some(), "`insert`"),
            (self.with.is_some(), "with", self.replace.is_some(), "`replace`"),
            (self.replace.is_some(), "replace", self.with.is_some(), "`with`"),
            (self.count.is_some(), "count", anchors || self.replace.is_some(), "`before`, `after` or `replace`"),
            (self.args.is_some(), "args", self.call_before.is_some(), "`call_before`"),
            (self.after_args.is_some(), "after_args", self.call_after.is_some(), "`call_after`"),
            (self.argument.is_some(), "argument", self.wrap_argument.is_some(), "`wrap_argument`"),
        ] {
            if is_there && !has_companion {
                return Err(format!("`{word}` needs {companion}"));
            }
        }
        Ok(())
    }
}

/// Whether a text may stand at the top of a file, after the imports.
fn is_declaration(text: &str) -> bool {
    let source = format!("package p\n\n{text}\n");
    let is_one =
        |kind: &str| kind != "import_declaration" && (kind.ends_with("_declaration") || kind == "package_clause");
    GoFile::parse(&source).is_some_and(|file| {
        let nodes = crate::parse::children(file.root()).filter(|node| node.is_named());
        nodes.into_iter().all(|node| is_one(node.kind()) && node.kind() != "short_var_declaration")
    })
}

fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\n') {
        return Err("inserted text must not contain a newline: lines would move".into());
    }
    if crate::token::tokens(text).comments > 0 && text.contains("//") {
        return Err("inserted text must not contain a line comment: it would swallow the rest of the line".into());
    }
    Ok(())
}

fn check_expressions(texts: &[String]) -> Result<(), String> {
    for text in texts {
        check_text(text)?;
        if !action::is_expression(text) {
            return Err(format!("{text:?} is not one Go expression"));
        }
    }
    Ok(())
}

fn check_kind(word: &str, action: &Action, kind: Kind) -> Result<(), String> {
    let (fits, what) = match action {
        Action::Enter(_) | Action::Call(_) => (matches!(kind, Kind::Function | Kind::Closure), "a function"),
        Action::AddFields(_) => (kind == Kind::Structure, "a `struct`"),
        Action::WrapArgument(..) => (kind >= Kind::Function, "a call or a function"),
        Action::WrapResult(_) | Action::WrapCall(_) | Action::AppendArguments(_) => {
            (kind == Kind::Call, "a `function_call` or `method_call`")
        }
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(format!("`{word}` is for {what}, and this `where` is about something else")) }
}

type CallText = (Option<String>, Option<Vec<String>>);

impl Surroundings<'_> {
    fn hook(&self, name: &str) -> Result<Hook, String> {
        action::hook(self.hooks.values(), name).ok_or_else(|| {
            let files: Vec<_> = self.hooks.values().map(|text| GoFile::parse_leniently(text)).collect();
            let names: Vec<&str> =
                files.iter().flat_map(|file| file.functions().map(|f| f.name).collect::<Vec<_>>()).collect();
            format!("there is no function {name} in hooks/{}", nearest(name, names.into_iter()))
        })
    }

    fn hook_for(&self, name: &str, arguments: usize, results: Option<usize>) -> Result<Hook, String> {
        let hook = self.hook(name)?;
        let takes = if hook.is_variadic { arguments + 1 >= hook.parameters } else { hook.parameters == arguments };
        if !takes {
            return Err(format!("{name} takes {} arguments and would get {arguments}", hook.parameters));
        }
        match results.filter(|results| *results != hook.results) {
            Some(results) => Err(format!("{name} has {} results, {results} are needed", hook.results)),
            None => Ok(hook),
        }
    }

    fn hook_with(&self, name: &str, arguments: Option<Vec<String>>) -> Result<(Hook, Option<Vec<String>>), String> {
        let Some(arguments) = arguments else { return Ok((self.hook(name)?, None)) };
        check_expressions(&arguments)?;
        Ok((self.hook_for(name, arguments.len(), None)?, Some(arguments)))
    }

    fn hook_calls(&self, before: CallText, after: CallText) -> Result<HookCalls, String> {
        let (before_name, before_arguments) = before;
        let before = before_name.map(|name| self.hook_with(&name, before_arguments)).transpose()?;
        let (after_name, after_arguments) = after;
        let after = after_name.map(|name| self.hook_with(&name, after_arguments)).transpose()?;
        let gives = before.as_ref().map_or(0, |(hook, _)| hook.results);
        if let (Some((hook, _)), Some(_), true) = (&before, &after, gives > 1) {
            return Err(format!("{} has {gives} results; what is kept for `call_after` is one value", hook.name));
        }
        for text in after.iter().flat_map(|(_, arguments)| arguments.iter().flatten()) {
            if text.contains("$before") && gives != 1 {
                return Err("`$before` is what `call_before` returns, and nothing is returned".into());
            }
            let is_value = |(at, _): (usize, &str)| {
                let is_result =
                    text[at + 2..].starts_with(|c: char| c.is_ascii_digit()) || text[at..].starts_with("$err");
                is_result && !text[..at].trim_end().ends_with('&')
            };
            if text.match_indices("$r").chain(text.match_indices("$err")).any(is_value) {
                return Err(format!(
                    "{text:?}: results have no value yet when arguments are taken; hand on a pointer, as `&$r0`"
                ));
            }
        }
        let rule: String = self.rule.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let number = if self.edit == 0 { String::new() } else { format!("_{}", self.edit) };
        Ok(HookCalls { variable: format!("tandemFrom_{rule}{number}"), before, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the longest piece wins, what was put in is not replaced again, the pack's own files come first, and a piece
    /// that is nowhere is a mistake.
    #[test]
    fn takes_another_packs_hooks() {
        let yaml = "pack: mine\nrules: []\nhooks_of:\n  pack: theirs\n  replace: {lib: lib/v2, lib/x: x, lib/v2: z, größe: 名}\n";
        let text: PackText = serde_saphyr::from_str(yaml).expect("sound");
        let theirs = Hooks::from([
            ("a.go".to_owned(), "lib lib/x lib/v2 größe library".to_owned()),
            ("b.go".to_owned(), "theirs".to_owned()),
        ]);
        let others = |name: &str| (name == "theirs").then(|| theirs.clone());
        let mut hooks = Hooks::from([("b.go".to_owned(), "mine".to_owned())]);
        let mut hooks_of = text.hooks_of.expect("it is said");
        hooks_of.add(&mut hooks, &others).expect("sound");
        let texts: Vec<&str> = hooks.values().map(String::as_str).collect();
        assert_eq!(texts, ["lib/v2 x z 名 lib/v2rary", "mine"]);
        hooks_of.replace.insert("nowhere".into(), String::new());
        let problem = hooks_of.add(&mut hooks, &others).expect_err("a piece is nowhere");
        assert_eq!(problem.text, "the hooks of theirs do not contain \"nowhere\"");
    }
}
