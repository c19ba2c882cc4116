using Hl7.Fhir.Model;
using Hl7.FhirPath;
using Hl7.FhirPath.Expressions;
using Expression = Hl7.FhirPath.Expressions.Expression;

namespace KantaGateway.Fhir.Validation;

/// <summary>Value of a condition: FHIRPath's three, and not knowing.</summary>
enum Truth : byte { False, True, Empty, Unknown }

/// <summary>
/// Reads the shapes in which most constraints are written (paths, <c>exists()</c>, <c>empty()</c>, <c>where()</c>,
/// comparisons with a literal, boolean operators) into direct navigation. It answers <see cref="Truth.True"/> only when
/// FHIRPath would; of whatever it cannot read or decide it says <see cref="Truth.Unknown"/>, and Firely's evaluator decides.
/// </summary>
/// <remarks>Immutable; thread-safe. A property test compares it with Firely's evaluator.</remarks>
static class QuickConstraint
{
    /// <summary>A condition on an element.</summary>
    public delegate Truth Condition(Base focus);

    /// <summary>Elements that a path leads to; null where that is not known.</summary>
    private delegate IReadOnlyList<Base>? Path(Base focus);

    private static readonly FhirPathCompiler Reader = new();

    private static readonly IReadOnlyList<Base> None = [];

    /// <summary>Reads an expression. Conditions that are not understood become <see cref="Truth.Unknown"/> where they stand.</summary>
    public static Condition Read(string expression) => ReadCondition(Reader.Parse(expression));

    private static Condition ReadCondition(Expression expression) => expression switch
    {
        BracketExpression bracket => ReadCondition(bracket.Operand),
        BinaryExpression { Op: "and" or "or" or "xor" or "implies" } logic => ReadLogic(logic.Op, ReadCondition(Left(logic)), ReadCondition(Right(logic))),
        BinaryExpression { Op: "=" or "!=" } equality => ReadEquality(equality),
        BinaryExpression { Op: ">" or ">=" or "<" or "<=" } order => ReadOrder(order),
        BinaryExpression { Op: "in" } membership => ReadMembership(membership),
        FunctionCallExpression call when expression is not (ChildExpression or IndexerExpression or BinaryExpression or UnaryExpression) => ReadCall(call),
        _ => _ => Truth.Unknown,
    };

    // The SDK's own Left is the focus of the operator, not its operand.
    private static Expression Left(BinaryExpression binary) => binary.Arguments.First();

    private static Expression Right(BinaryExpression binary) => binary.Arguments.Last();

    private static Condition ReadCall(FunctionCallExpression call)
    {
        Expression[] arguments = [.. call.Arguments];
        switch (call.FunctionName)
        {
            case "exists" when arguments.Length == 0 && ReadPath(call.Focus) is { } path:
                return focus => path(focus) is { } found ? Of(found.Count > 0) : Truth.Unknown;
            case "empty" when arguments.Length == 0 && ReadPath(call.Focus) is { } path:
                return focus => path(focus) is { } found ? Of(found.Count == 0) : Truth.Unknown;
            case "hasValue" when arguments.Length == 0 && ReadPath(call.Focus) is { } path:
                return focus => path(focus) switch
                {
                    null => Truth.Unknown,
                    [] => Truth.False,
                    [PrimitiveType { JsonValue: not null }] => Truth.True,
                    _ => Truth.Unknown,
                };
            case "not" when arguments.Length == 0:
                var denied = ReadCondition(call.Focus);
                return focus => Not(denied(focus));
            case "all" when arguments is [var every] && ReadPath(call.Focus) is { } path:
                var condition = ReadCondition(every);
                return focus => path(focus) is { } found && found.All(e => condition(e) == Truth.True) ? Truth.True : Truth.Unknown;
            case "startsWith" when arguments is [ConstantExpression { Value: string start }] && ReadPath(call.Focus) is { } path:
                return focus => path(focus) switch
                {
                    [] => Truth.Empty,
                    [PrimitiveType { JsonValue: string text }] => Of(text.StartsWith(start, StringComparison.Ordinal)),
                    _ => Truth.Unknown,
                };
            default:
                return _ => Truth.Unknown;
        }
    }

    private static Condition ReadLogic(string op, Condition left, Condition right) => op switch
    {
        "and" => focus => And(left(focus), focus, right),
        "or" => focus => Or(left(focus), focus, right),
        "implies" => focus => Or(Not(left(focus)), focus, right),
        _ => focus => (left(focus), right(focus)) switch
        {
            (Truth.True or Truth.False, Truth.True or Truth.False) and var (l, r) => Of(l != r),
            (Truth.Unknown, _) or (_, Truth.Unknown) => Truth.Unknown,
            _ => Truth.Empty,
        },
    };

    private static Truth And(Truth left, Base focus, Condition right)
    {
        if (left == Truth.False)
            return Truth.False;
        var other = right(focus);
        return other == Truth.False ? Truth.False
            : left == Truth.Unknown || other == Truth.Unknown ? Truth.Unknown
            : left == Truth.Empty || other == Truth.Empty ? Truth.Empty
            : Truth.True;
    }

    private static Truth Or(Truth left, Base focus, Condition right) => left == Truth.True ? Truth.True : Not(And(Not(left), focus, f => Not(right(f))));

    private static Truth Not(Truth truth) => truth switch { Truth.True => Truth.False, Truth.False => Truth.True, _ => truth };

    private static Truth Of(bool value) => value ? Truth.True : Truth.False;

    private static Condition ReadEquality(BinaryExpression expression)
    {
        var negated = expression.Op == "!=";
        if (Literal(Right(expression)) is { } literal && ReadPath(Left(expression)) is { } path)
            return focus => path(focus) switch
            {
                [] => Truth.Empty,
                [PrimitiveType { JsonValue: { } value }] when IsComparable(value, literal) => Of(value.Equals(literal) != negated),
                _ => Truth.Unknown,
            };
        if (IsCondition(Left(expression)) && IsCondition(Right(expression)))
        {
            var (left, right) = (ReadCondition(Left(expression)), ReadCondition(Right(expression)));
            return focus => (left(focus), right(focus)) switch
            {
                (Truth.True or Truth.False, Truth.True or Truth.False) and var (l, r) => Of((l == r) != negated),
                _ => Truth.Unknown,
            };
        }
        return _ => Truth.Unknown;
    }

    /// <summary>Strings of codes and texts, and booleans; dates and numbers equal each other in more ways than by their text.</summary>
    private static bool IsComparable(object value, object literal) => (value, literal) is (string, string) or (bool, bool);

    private static bool IsCondition(Expression expression) => expression switch
    {
        BracketExpression bracket => IsCondition(bracket.Operand),
        BinaryExpression binary => binary.Op is "and" or "or" or "xor" or "implies" or "=" or "!=" or "in",
        FunctionCallExpression { FunctionName: "exists" or "empty" or "not" or "hasValue" } => true,
        _ => false,
    };

    private static Condition ReadOrder(BinaryExpression expression)
    {
        // count() of something against a number: (identifier.count() + name.count()) > 0 and item.count() > 1.
        if (Counts(Left(expression)) is { } counts && Right(expression) is ConstantExpression { Value: int limit })
            return focus =>
            {
                var total = 0;
                foreach (var path in counts)
                    if (path(focus) is { } found)
                        total += found.Count;
                    else
                        return Truth.Unknown;
                return Of(expression.Op switch { ">" => total > limit, ">=" => total >= limit, "<" => total < limit, _ => total <= limit });
            };
        if (ReadPath(Left(expression)) is { } left && ReadPath(Right(expression)) is { } right && expression.Op == "<=")
            return focus => (left(focus), right(focus)) switch
            {
                ([], not null) or (not null, []) => Truth.Empty,
                ([PrimitiveType { JsonValue: string earlier }], [PrimitiveType { JsonValue: string later }]) when IsOrdered(earlier, later) => Truth.True,
                _ => Truth.Unknown,
            };
        if (ReadPath(Left(expression)) is { } number && Right(expression) is ConstantExpression { Value: int bound })
            return focus => number(focus) switch
            {
                [] => Truth.Empty,
                [PrimitiveType { JsonValue: decimal value }] when expression.Op is ">=" && value >= bound => Truth.True,
                [PrimitiveType { JsonValue: decimal value }] when expression.Op is ">" && value > bound => Truth.True,
                _ => Truth.Unknown,
            };
        return _ => Truth.Unknown;
    }

    /// <summary>Dates and times of one shape and one zone, whose order is that of their characters.</summary>
    private static bool IsOrdered(string earlier, string later)
    {
        if (earlier.Length != later.Length || string.CompareOrdinal(earlier, later) > 0)
            return false;
        return earlier.Length == 10 || (earlier.Length is 20 or 24 && earlier[^1] == 'Z' && later[^1] == 'Z')
            || (earlier.Length is 25 or 29 && earlier[^6] == later[^6] && earlier.AsSpan()[^6..].SequenceEqual(later.AsSpan()[^6..]));
    }

    private static List<Path>? Counts(Expression expression) => expression switch
    {
        BracketExpression bracket => Counts(bracket.Operand),
        BinaryExpression { Op: "+" } sum when Counts(Left(sum)) is { } left && Counts(Right(sum)) is { } right => [.. left, .. right],
        FunctionCallExpression { FunctionName: "count" } call when !call.Arguments.Any() && ReadPath(call.Focus) is { } path => [path],
        _ => null,
    };

    private static Condition ReadMembership(BinaryExpression expression)
    {
        if (ReadPath(Left(expression)) is not { } path || Literals(Right(expression)) is not { } literals)
            return _ => Truth.Unknown;
        return focus => path(focus) switch
        {
            [] => Truth.Empty,
            [PrimitiveType { JsonValue: string value }] => Of(literals.Contains(value)),
            _ => Truth.Unknown,
        };
    }

    private static List<string>? Literals(Expression expression) => expression switch
    {
        BracketExpression bracket => Literals(bracket.Operand),
        BinaryExpression { Op: "|" } union when Literals(Left(union)) is { } left && Literals(Right(union)) is { } right => [.. left, .. right],
        ConstantExpression { Value: string text } => [text],
        _ => null,
    };

    private static object? Literal(Expression expression) => expression switch
    {
        BracketExpression bracket => Literal(bracket.Operand),
        VariableRefExpression { Name: "ucum" } => "http://unitsofmeasure.org",
        ConstantExpression { Value: string or bool } constant => constant.Value,
        _ => null,
    };

    private static Path? ReadPath(Expression? expression)
    {
        switch (expression)
        {
            case BracketExpression bracket:
                return ReadPath(bracket.Operand);
            case AxisExpression { AxisName: "that" or "this" }:
                return focus => [focus];
            case ChildExpression child when child.Focus is AxisExpression { AxisName: "that" or "this" }:
                // A path may begin with the name of its type.
                return char.IsAsciiLetterUpper(child.ChildName[0])
                    ? focus => focus.TypeName == child.ChildName ? [focus] : null
                    : focus => Children(focus, child.ChildName);
            case ChildExpression child when ReadPath(child.Focus) is { } parent:
                return focus => parent(focus) switch
                {
                    null => null,
                    [] => None,
                    [var one] => Children(one, child.ChildName),
                    var many => AllChildren(many, child.ChildName),
                };
            // What is traced passes through.
            case FunctionCallExpression { FunctionName: "trace" } trace:
                return ReadPath(trace.Focus);
            case FunctionCallExpression { FunctionName: "where" } where when where.Arguments.ToArray() is [var criterion] && ReadPath(where.Focus) is { } filtered:
                var condition = ReadCondition(criterion);
                return focus => Filter(filtered(focus), condition);
            default:
                return null;
        }
    }

    private static IReadOnlyList<Base>? Filter(IReadOnlyList<Base>? elements, Condition condition)
    {
        if (elements is null or [])
            return elements;
        var found = new List<Base>();
        foreach (var element in elements)
            switch (condition(element))
            {
                case Truth.True:
                    found.Add(element);
                    break;
                case Truth.Unknown:
                    return null;
            }
        return found;
    }

    private static IReadOnlyList<Base>? Children(Base parent, string name)
    {
        if (!parent.TryGetValue(name, out var value) || value is null)
            return None;
        return value switch
        {
            Base one => [one],
            IReadOnlyList<Base> many => many,
            System.Collections.IEnumerable many and not string => [.. many.OfType<Base>()],
            // A bare value, such as an id: not an element to navigate.
            _ => null,
        };
    }

    private static List<Base>? AllChildren(IReadOnlyList<Base> parents, string name)
    {
        var found = new List<Base>();
        foreach (var parent in parents)
            if (Children(parent, name) is { } children)
                found.AddRange(children);
            else
                return null;
        return found;
    }
}
