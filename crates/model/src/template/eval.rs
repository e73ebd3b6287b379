//! Walks a template's syntax tree. The grammar is minijinja's; evaluation is this project's own, so
//! that every step and every byte is paid for from a [`Budget`] before it is taken, and nothing
//! but the values given and the functions listed here can be reached.

use super::budget::{Budget, Failure, Outcome};
use super::clock::Civil;
use super::python::{self, Writer};
use super::value::{Key, LoopState, MacroValue, Scope, Value};
use super::{filters, functions, methods, operators, predicates};
use indexmap::IndexMap;
use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Stmt, UnaryOpKind};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Deepest nesting of macro calls.
const CALL_DEPTH_MAX: u32 = 64;

/// Evaluated arguments.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Rc<str>, Value)>,
}

impl Args {
    /// The argument at a place or of a name.
    pub(super) fn get(&self, place: usize, name: &str) -> Option<&Value> {
        self.positional.get(place).or_else(|| self.named(name))
    }

    pub(super) fn named(&self, name: &str) -> Option<&Value> {
        let found = self.named.iter().find(|(other, _)| &**other == name);
        found.map(|(_, value)| value)
    }
}

/// How a statement ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering.
pub(super) struct Interpreter<'t> {
    pub(super) budget: Budget,
    pub(super) now: Civil,
    output_bytes_max: usize,
    out: String,
    captures: Vec<String>,
    macros: Vec<&'t ast::Macro<'t>>,
    call_depth: u32,
    loop_depth: usize,
}

impl<'t> Interpreter<'t> {
    pub(super) fn new(budget: Budget, output_bytes_max: usize, now: Civil) -> Self {
        Self {
            budget,
            now,
            output_bytes_max,
            out: String::new(),
            captures: Vec::new(),
            macros: Vec::new(),
            call_depth: 0,
            loop_depth: 0,
        }
    }

    /// Runs the whole template and gives its output.
    pub(super) fn run(
        mut self,
        template: &'t Stmt<'t>,
        variables: IndexMap<Rc<str>, Value>,
    ) -> Outcome<String> {
        let scope = Rc::new(Scope {
            variables: RefCell::new(variables),
            parent: None,
        });
        self.statement(template, &scope)?;
        Ok(self.out)
    }

    fn emit(&mut self, text: &str) -> Outcome<()> {
        self.budget.allocate(text.len() * 2 + 1)?;
        self.out.push_str(text);
        if self.captures.is_empty() && self.out.len() > self.output_bytes_max {
            let reason = format!("its output is over {} bytes", self.output_bytes_max);
            return Err(Failure::new(reason));
        }
        Ok(())
    }

    fn begin_capture(&mut self) {
        self.captures.push(std::mem::take(&mut self.out));
    }

    fn end_capture(&mut self) -> String {
        let outer = self.captures.pop().unwrap_or_default();
        std::mem::replace(&mut self.out, outer)
    }

    fn block(&mut self, body: &'t [Stmt<'t>], scope: &Rc<Scope>) -> Outcome<Flow> {
        for statement in body {
            let flow = self.statement(statement, scope)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// Runs `body` and gives what it wrote.
    fn captured(&mut self, body: &'t [Stmt<'t>], scope: &Rc<Scope>) -> Outcome<Value> {
        self.begin_capture();
        let result = self.block(body, scope);
        let text = self.end_capture();
        result?;
        Value::new_str(text, &mut self.budget)
    }

    fn statement(&mut self, statement: &'t Stmt<'t>, scope: &Rc<Scope>) -> Outcome<Flow> {
        self.budget.step(1)?;
        match statement {
            Stmt::Template(template) => return self.block(&template.children, scope),
            Stmt::EmitRaw(raw) => self.emit(raw.raw)?,
            Stmt::EmitExpr(emit) => {
                let value = self.expr(&emit.expr, scope)?;
                if let Value::Str(text) = &value {
                    self.emit(text)?;
                } else {
                    let text = python::to_str(&value, &mut self.budget)
                        .map_err(|e| e.at(emit.span().start_line))?;
                    self.emit(&text)?;
                }
            }
            Stmt::IfCond(cond) => {
                let body = if self.expr(&cond.expr, scope)?.is_true() {
                    &cond.true_body
                } else {
                    &cond.false_body
                };
                return self.block(body, scope);
            }
            Stmt::ForLoop(for_loop) => return self.for_loop(for_loop, scope),
            Stmt::WithBlock(with) => {
                let inner = Scope::inside(scope);
                for (target, value) in &with.assignments {
                    let value = self.expr(value, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.block(&with.body, &inner);
            }
            Stmt::Set(set) => {
                let value = self.expr(&set.expr, scope)?;
                self.assign(&set.target, value, scope)?;
            }
            Stmt::SetBlock(set) => {
                let mut value = self.captured(&set.body, &Scope::inside(scope))?;
                if let Some(filter) = &set.filter {
                    value = self.filter_chain(filter, value, scope)?;
                }
                self.assign(&set.target, value, scope)?;
            }
            Stmt::FilterBlock(block) => {
                let value = self.captured(&block.body, &Scope::inside(scope))?;
                let value = self.filter_chain(&block.filter, value, scope)?;
                let text = python::to_str(&value, &mut self.budget)?;
                self.emit(&text)?;
            }
            Stmt::Macro(declaration) => {
                let value = self.macro_value(declaration, scope);
                scope.set(declaration.name, value);
            }
            Stmt::CallBlock(block) => {
                let caller = self.macro_value(&block.macro_decl, scope);
                let value = self.call(&block.call, Some(caller), scope)?;
                let text = python::to_str(&value, &mut self.budget)?;
                self.emit(&text)?;
            }
            Stmt::Do(statement) => {
                self.call(&statement.call, None, scope)?;
            }
            Stmt::Continue(_) => return Ok(Flow::Continue),
            Stmt::Break(_) => return Ok(Flow::Break),
            Stmt::AutoEscape(_)
            | Stmt::Block(_)
            | Stmt::Import(_)
            | Stmt::FromImport(_)
            | Stmt::Extends(_)
            | Stmt::Include(_) => {
                return Err(Failure::new(
                    "blocks, imports, includes and autoescape have no place in a chat template",
                ));
            }
        }
        Ok(Flow::Next)
    }

    fn for_loop(&mut self, for_loop: &'t ast::ForLoop<'t>, scope: &Rc<Scope>) -> Outcome<Flow> {
        if for_loop.recursive {
            return Err(Failure::new("recursive loops are not supported"));
        }
        let line = |e: Failure| e.at(for_loop.iter.span().start_line);
        let iterable = self.expr(&for_loop.iter, scope)?;
        let mut items = iterable.iterate(&mut self.budget).map_err(line)?;
        if let Some(filter) = &for_loop.filter_expr {
            let mut kept = Vec::new();
            for item in items.iter() {
                self.budget.allocate(size_of::<Value>())?;
                let inner = Scope::inside(scope);
                self.assign(&for_loop.target, item.clone(), &inner)?;
                if self.expr(filter, &inner)?.is_true() {
                    kept.push(item.clone());
                }
            }
            items = kept.into();
        }
        if items.is_empty() {
            return self.block(&for_loop.else_body, &Scope::inside(scope));
        }
        let state = Rc::new(LoopState {
            items: Rc::clone(&items),
            index0: Cell::new(0),
            depth0: self.loop_depth,
            last_changed: RefCell::default(),
        });
        self.loop_depth += 1;
        for (i, item) in items.iter().enumerate() {
            self.budget.step(1)?;
            state.index0.set(i);
            let inner = Scope::inside(scope);
            inner.set("loop", Value::Loop(Rc::clone(&state)));
            self.assign(&for_loop.target, item.clone(), &inner)?;
            if self.block(&for_loop.body, &inner)? == Flow::Break {
                break;
            }
        }
        self.loop_depth -= 1;
        Ok(Flow::Next)
    }

    fn assign(&mut self, target: &'t Expr<'t>, value: Value, scope: &Rc<Scope>) -> Outcome<()> {
        let fail = |reason: String| Err(Failure::new(reason).at(target.span().start_line));
        match target {
            Expr::Var(var) => scope.set(var.id, value),
            Expr::List(targets) => {
                let values = value.iterate(&mut self.budget)?;
                if values.len() != targets.items.len() {
                    let (found, wanted) = (values.len(), targets.items.len());
                    return fail(format!("{found} values for {wanted} names"));
                }
                for (target, value) in targets.items.iter().zip(values.iter()) {
                    self.assign(target, value.clone(), scope)?;
                }
            }
            Expr::GetAttr(attr) => {
                let Value::Namespace(namespace) = self.expr(&attr.expr, scope)? else {
                    return fail("only a namespace's attributes can be set".to_owned());
                };
                value
                    .plain_depth()
                    .map_err(|e| e.at(target.span().start_line))?;
                self.budget.allocate(64)?;
                namespace.borrow_mut().insert(Rc::from(attr.name), value);
            }
            other => return fail(format!("cannot assign to a {}", other.description())),
        }
        Ok(())
    }

    fn macro_value(&mut self, declaration: &'t ast::Macro<'t>, scope: &Rc<Scope>) -> Value {
        self.macros.push(declaration);
        Value::Macro(Rc::new(MacroValue {
            declaration: self.macros.len() - 1,
            scope: Rc::downgrade(scope),
        }))
    }

    pub(super) fn expr(&mut self, expr: &'t Expr<'t>, scope: &Rc<Scope>) -> Outcome<Value> {
        self.budget.step(1)?;
        self.expr_unlocated(expr, scope)
            .map_err(|e| e.at(expr.span().start_line))
    }

    fn expr_unlocated(&mut self, expr: &'t Expr<'t>, scope: &Rc<Scope>) -> Outcome<Value> {
        match expr {
            Expr::Var(var) => Ok(scope
                .get(var.id)
                .unwrap_or_else(|| functions::global(var.id))),
            Expr::Const(constant) => Ok(functions::constant(&constant.value)),
            Expr::Slice(slice) => {
                let value = self.expr(&slice.expr, scope)?;
                let mut bound = |part: &'t Option<Expr<'t>>| match part {
                    Some(part) => self.expr(part, scope),
                    None => Ok(Value::None),
                };
                let (start, stop) = (bound(&slice.start)?, bound(&slice.stop)?);
                let step = bound(&slice.step)?;
                operators::slice(&value, &start, &stop, &step, &mut self.budget)
            }
            Expr::UnaryOp(op) => {
                let value = self.expr(&op.expr, scope)?;
                match op.op {
                    UnaryOpKind::Not => Ok(Value::Bool(!value.is_true())),
                    UnaryOpKind::Neg => operators::negate(&value),
                }
            }
            Expr::BinOp(op) => self.binary(op, scope),
            Expr::Compare(compare) => {
                let mut left = self.expr(&compare.expr, scope)?;
                for step in &compare.ops {
                    let right = self.expr(&step.expr, scope)?;
                    if !operators::compare(step.op, &left, &right, &mut self.budget)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::IfExpr(cond) => {
                if self.expr(&cond.test_expr, scope)?.is_true() {
                    self.expr(&cond.true_expr, scope)
                } else if let Some(other) = &cond.false_expr {
                    self.expr(other, scope)
                } else {
                    Ok(Value::Undefined)
                }
            }
            Expr::Filter(filter) => {
                let value = match &filter.expr {
                    Some(inner) => self.expr(inner, scope)?,
                    None => return Err(Failure::new("a filter without a value")),
                };
                let args = self.args(&filter.args, scope)?;
                filters::apply(self, filter.name, &value, &args)
            }
            Expr::Test(test) => {
                let value = self.expr(&test.expr, scope)?;
                let args = self.args(&test.args, scope)?;
                predicates::holds(test.name, &value, &args.positional, &mut self.budget)
                    .map(Value::Bool)
            }
            Expr::GetAttr(attr) => {
                let value = self.expr(&attr.expr, scope)?;
                operators::attribute(&value, attr.name, &mut self.budget)
            }
            Expr::GetItem(item) => {
                let value = self.expr(&item.expr, scope)?;
                let key = self.expr(&item.subscript_expr, scope)?;
                operators::item(&value, &key, &mut self.budget)
            }
            Expr::Call(call) => self.call(call, None, scope),
            Expr::List(list) => {
                let mut items = Vec::new();
                for item in &list.items {
                    items.push(self.expr(item, scope)?);
                }
                Value::list(items, &mut self.budget)
            }
            Expr::Map(map) => {
                let mut entries = IndexMap::new();
                for (key, value) in map.keys.iter().zip(&map.values) {
                    let key = self.expr(key, scope)?;
                    let key = Key::of(&key).ok_or_else(|| {
                        Failure::new(format!("a {} as the key of a mapping", key.kind()))
                    })?;
                    entries.insert(key, self.expr(value, scope)?);
                }
                Value::map(entries, &mut self.budget)
            }
        }
    }

    fn binary(&mut self, op: &'t ast::BinOp<'t>, scope: &Rc<Scope>) -> Outcome<Value> {
        let left = self.expr(&op.left, scope)?;
        let comparison = match op.op {
            BinOpKind::ScAnd if !left.is_true() => return Ok(left),
            BinOpKind::ScOr if left.is_true() => return Ok(left),
            BinOpKind::ScAnd | BinOpKind::ScOr => return self.expr(&op.right, scope),
            BinOpKind::Eq => Some(CompareOpKind::Eq),
            BinOpKind::Ne => Some(CompareOpKind::Ne),
            BinOpKind::Lt => Some(CompareOpKind::Lt),
            BinOpKind::Lte => Some(CompareOpKind::Lte),
            BinOpKind::Gt => Some(CompareOpKind::Gt),
            BinOpKind::Gte => Some(CompareOpKind::Gte),
            BinOpKind::In => Some(CompareOpKind::In),
            _ => None,
        };
        let right = self.expr(&op.right, scope)?;
        match comparison {
            Some(comparison) => {
                operators::compare(comparison, &left, &right, &mut self.budget).map(Value::Bool)
            }
            None => operators::arithmetic(op.op, &left, &right, &mut self.budget),
        }
    }

    /// Applies the filters of a filter block or a set block, innermost first.
    fn filter_chain(
        &mut self,
        expr: &'t Expr<'t>,
        value: Value,
        scope: &Rc<Scope>,
    ) -> Outcome<Value> {
        let Expr::Filter(filter) = expr else {
            return Err(Failure::new("a filter was expected"));
        };
        let value = match &filter.expr {
            Some(inner) => self.filter_chain(inner, value, scope)?,
            None => value,
        };
        let args = self.args(&filter.args, scope)?;
        filters::apply(self, filter.name, &value, &args)
    }

    fn args(&mut self, args: &'t [CallArg<'t>], scope: &Rc<Scope>) -> Outcome<Args> {
        let mut out = Args::default();
        for arg in args {
            match arg {
                CallArg::Pos(value) => out.positional.push(self.expr(value, scope)?),
                CallArg::Kwarg(name, value) => {
                    let value = self.expr(value, scope)?;
                    out.named.push((Rc::from(*name), value));
                }
                CallArg::PosSplat(values) => {
                    let values = self.expr(values, scope)?.iterate(&mut self.budget)?;
                    out.positional.extend(values.iter().cloned());
                }
                CallArg::KwargSplat(values) => {
                    let Value::Map(map) = self.expr(values, scope)? else {
                        return Err(Failure::new("** takes a mapping"));
                    };
                    self.budget.allocate(map.entries.len() * 48)?;
                    let entries = map.entries.iter();
                    out.named
                        .extend(entries.filter_map(|(name, value)| match name {
                            Key::Str(name) => Some((Rc::clone(name), value.clone())),
                            Key::Int(_) => None,
                        }));
                }
            }
        }
        Ok(out)
    }

    fn call(
        &mut self,
        call: &'t ast::Call<'t>,
        caller: Option<Value>,
        scope: &Rc<Scope>,
    ) -> Outcome<Value> {
        self.budget.step(1)?;
        let function = self.expr(&call.expr, scope)?;
        let args = self.args(&call.args, scope)?;
        match function {
            Value::Macro(value) => self.call_macro(&value, &args, caller),
            Value::Function(name) => functions::call(self, name, &args),
            Value::Method(object, name) => methods::call(self, &object, &name, &args),
            Value::Undefined => {
                let name = match &call.expr {
                    Expr::Var(var) => var.id,
                    Expr::GetAttr(attr) => attr.name,
                    other => other.description(),
                };
                Err(Failure::new(format!(
                    "{name:?} is undefined and cannot be called"
                )))
            }
            other => Err(Failure::new(format!("a {} cannot be called", other.kind()))),
        }
    }

    fn call_macro(
        &mut self,
        value: &MacroValue,
        args: &Args,
        caller: Option<Value>,
    ) -> Outcome<Value> {
        let declaration = self.macros[value.declaration];
        let Some(outer) = value.scope.upgrade() else {
            let reason = format!("macro {:?} outlived its scope", declaration.name);
            return Err(Failure::new(reason));
        };
        if self.call_depth >= CALL_DEPTH_MAX {
            let reason = format!("macros call each other over {CALL_DEPTH_MAX} deep");
            return Err(Failure::new(reason));
        }
        let scope = Scope::inside(&outer);
        let names = &declaration.args;
        if args.positional.len() > names.len() {
            let (found, wanted) = (args.positional.len(), names.len());
            return Err(Failure::new(format!(
                "macro {:?} takes {wanted} arguments, not {found}",
                declaration.name
            )));
        }
        self.call_depth += 1;
        let first_default = names.len() - declaration.defaults.len();
        for (i, target) in names.iter().enumerate() {
            let Expr::Var(var) = target else {
                return Err(Failure::new("a macro's arguments are names"));
            };
            let value = if let Some(value) = args.get(i, var.id) {
                value.clone()
            } else if i >= first_default {
                self.expr(&declaration.defaults[i - first_default], &scope)?
            } else {
                Value::Undefined
            };
            scope.set(var.id, value);
        }
        if let Some(caller) = caller {
            scope.set("caller", caller);
        }
        let text = self.captured(&declaration.body, &scope);
        self.call_depth -= 1;
        text
    }

    /// Joins the texts of values.
    pub(super) fn joined(&mut self, items: &[Value], separator: &str) -> Outcome<Value> {
        let mut writer = Writer {
            out: String::new(),
            budget: &mut self.budget,
        };
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                writer.push(separator)?;
            }
            python::write_str(&mut writer, item)?;
        }
        let text = writer.out;
        Value::new_str(text, &mut self.budget)
    }

    /// The elements of a list, shared where it is one already.
    pub(super) fn elements(&mut self, value: &Value) -> Outcome<Rc<[Value]>> {
        value.iterate(&mut self.budget)
    }
}
