using System.Collections;
using System.Diagnostics;
using Hl7.Fhir.FhirPath;
using Hl7.Fhir.Introspection;
using Hl7.Fhir.Model;
using Hl7.FhirPath;
using Hl7.FhirPath.Expressions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Patching;

/// <summary>FHIRPath Patch (hl7.org/fhir/R4/fhirpatch.html): Parameters with operations add, insert, delete, replace and move.</summary>
/// <remarks>
/// Firely's FHIRPath finds the element. A path may use what selects and nothing that computes, so that its cost stays
/// linear in the resource; <see cref="MaxTime"/> bounds the sum. Deleting what is not there changes nothing, as R5 has it.
/// </remarks>
sealed class FhirPathPatch : ResourcePatch
{
    private const int MaxPath = 1_000, MaxNesting = 16;

    /// <summary>After this no further operation begins.</summary>
    private static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(1);

    private static readonly HashSet<string> Functions =
    [
        "where", "exists", "empty", "not", "first", "last", "tail", "skip", "take", "single", "ofType", "as", "is", "extension", "hasValue", "count",
        "startsWith", "endsWith", "contains",
    ];

    private static readonly Lazy<FhirPathCompiler> Compiler = new(() => new(new SymbolTable().AddStandardFP().AddFhirExtensions()));

    private readonly IReadOnlyList<Operation> _operations;
    private readonly string _root;

    /// <param name="Expression">FHIRPath of the parameter that says it.</param>
    private sealed record Operation(string Expression, string Verb, string Path)
    {
        public string? Name { get; init; }
        public Parameters.ParameterComponent? Value { get; init; }
        public int? Index { get; init; }
        public int? Source { get; init; }
        public int? Destination { get; init; }
    }

    private FhirPathPatch(IReadOnlyList<Operation> operations, string root) => (_operations, _root) = (operations, root);

    private protected override string? Root => _root;

    public static (ResourcePatch?, Fault?) Read(Parameters parameters, string? root)
    {
        root ??= "Parameters";
        if (parameters.Parameter.Count > MaxOperations)
            return (null, new Fault(FaultKind.Unprocessable, new FaultIssue($"The patch has more than {MaxOperations} operations.", $"{root}.parameter", "too-costly")));
        var operations = new List<Operation>(parameters.Parameter.Count);
        var issues = new List<FaultIssue>();
        for (var i = 0; i < parameters.Parameter.Count && issues.Count < ResourceParser.MaxIssues; i++)
            if (ReadOperation(parameters.Parameter[i], $"{root}.parameter[{i}]", issues) is { } operation)
                operations.Add(operation);
        return issues.Count > 0 ? (null, new Fault(FaultKind.Invalid, issues)) : (new FhirPathPatch(operations, root), null);
    }

    private static Operation? ReadOperation(Parameters.ParameterComponent parameter, string expression, List<FaultIssue> issues)
    {
        if (parameter.Name != "operation")
            return Wrong("Every parameter of a FHIRPath Patch is named operation.", "name");
        string? verb = null, path = null;
        var read = new Operation(expression, "", "");
        for (var i = 0; i < parameter.Part.Count; i++)
        {
            var part = parameter.Part[i];
            var text = (part.Value as PrimitiveType)?.JsonValue as string;
            int? number = (part.Value as PrimitiveType)?.JsonValue is int n ? n : null;
            var isRight = part.Name switch
            {
                "type" => (verb = text) is "add" or "insert" or "delete" or "replace" or "move",
                "path" => (path = text) is not null && IsSelection(path),
                "name" => (read = read with { Name = text }).Name is not null,
                "value" => (read = read with { Value = part }).Value is not null,
                "index" => (read = read with { Index = number }).Index is >= 0,
                "source" => (read = read with { Source = number }).Source is >= 0,
                "destination" => (read = read with { Destination = number }).Destination is >= 0,
                _ => false,
            };
            if (!isRight)
                return Wrong(part.Name == "path"
                    ? $"The path must be FHIRPath of at most {MaxPath} characters that selects an element, without variables and without functions that compute."
                    : "A part of an operation is type, path, name, value, index, source or destination, each of its own kind.", $"part[{i}]");
        }
        if (verb is null || path is null)
            return Wrong("An operation has type and path.", "part");
        if ((verb == "add" && read.Name is null) || (verb is "add" or "insert" or "replace" && read.Value is null)
            || (verb == "insert" && read.Index is null) || (verb == "move" && (read.Source is null || read.Destination is null)))
            return Wrong("add needs name and value, insert index and value, replace value, move source and destination.", "part");
        return read with { Verb = verb, Path = path };

        Operation? Wrong(string sentence, string where)
        {
            issues.Add(new(sentence, $"{expression}.{where}"));
            return null;
        }
    }

    private protected override byte[] Change(ReadOnlyMemory<byte> current)
    {
        var (resource, fault) = ResourceParser.Parse(current);
        if (resource is null)
            throw new FaultException(fault!);
        var watch = Stopwatch.StartNew();
        foreach (var operation in _operations)
        {
            if (watch.Elapsed > MaxTime)
                throw Failed(operation, "The paths of this patch take too long; send it in parts.", "too-costly");
            Do(resource, operation);
        }
        return ResourceParser.Serialize(resource);
    }

    private static void Do(Resource resource, Operation operation)
    {
        switch (operation.Verb)
        {
            case "add":
                Add(resource, operation);
                break;
            case "insert":
                Insert(resource, operation);
                break;
            case "delete":
                if (Select(resource, operation, operation.Path) is [_, ..] doomed)
                    Replace(Only(doomed, operation), null, operation);
                break;
            case "replace":
                var replaced = Only(Select(resource, operation, operation.Path), operation);
                Replace(replaced, Make(PropertyOf(ParentOf(replaced, operation), replaced.Name, operation), operation.Value!, operation), operation);
                break;
            case "move":
                var (list, _, _) = ListOf(Select(resource, operation, operation.Path), operation);
                if (operation.Source >= list.Count || operation.Destination >= list.Count)
                    throw Failed(operation, "The list has no such place.");
                var moved = list[operation.Source!.Value];
                list.RemoveAt(operation.Source.Value);
                list.Insert(operation.Destination!.Value, moved);
                break;
        }
    }

    private static void Add(Resource resource, Operation operation)
    {
        var holder = Only(Select(resource, operation, operation.Path), operation).Poco;
        var property = PropertyOf(holder, operation.Name!, operation);
        Put(holder, property, Make(property, operation.Value!, operation), operation);
    }

    private static void Insert(Resource resource, Operation operation)
    {
        if (Select(resource, operation, operation.Path) is not [_, ..] found)
        {
            // An empty list has no elements to be found by: its holder and name are.
            var dot = operation.Path.LastIndexOf('.');
            var holder = dot < 0 ? resource : Only(Select(resource, operation, operation.Path[..dot]), operation).Poco;
            var empty = PropertyOf(holder, operation.Path[(dot + 1)..], operation);
            if (!empty.IsCollection || operation.Index != 0)
                throw Failed(operation, "The list has no such place.");
            Put(holder, empty, Make(empty, operation.Value!, operation), operation);
            return;
        }
        var (list, parent, name) = ListOf(found, operation);
        if (operation.Index > list.Count)
            throw Failed(operation, "The list has no such place.");
        list.Insert(operation.Index!.Value, Make(PropertyOf(parent, name, operation), operation.Value!, operation));
    }

    // :: elements

    /// <summary>The elements of the resource that a path leads to.</summary>
    private static List<PocoNode> Select(Resource resource, Operation operation, string path)
    {
        List<PocoNode> found;
        try
        {
            found = [.. Compiler.Value.Compile(path)(resource.ToPocoNode(ModelInfo.ModelInspector), new FhirEvaluationContext())];
        }
        catch (Exception e) when (e is FormatException or ArgumentException or InvalidOperationException or NotSupportedException or InvalidCastException)
        {
            throw Failed(operation, "The path is no FHIRPath that can be evaluated on this resource.", "invalid");
        }
        return found.TrueForAll(n => n.Parent is not null || ReferenceEquals(n.Poco, resource)) ? found
            : throw Failed(operation, "The path computes a value instead of selecting an element.", "invalid");
    }

    private static PocoNode Only(List<PocoNode> found, Operation operation) => found is [var only] ? only
        : throw Failed(operation, found.Count == 0 ? "The path leads to no element." : "The path leads to more than one element.");

    private static Base ParentOf(PocoNode node, Operation operation) =>
        (node.Parent as PocoNode)?.Poco ?? throw Failed(operation, "The resource itself is neither replaced nor deleted by a patch.");

    /// <summary>The whole list that the elements make up.</summary>
    private static (IList List, Base Parent, string Name) ListOf(List<PocoNode> found, Operation operation)
    {
        if (found.Count > 0 && ParentOf(found[0], operation) is var parent && parent.TryGetValue(found[0].Name, out var value) && value is IList list
            && list.Count == found.Count && found.TrueForAll(n => list.Contains(n.Poco)))
            return (list, parent, found[0].Name);
        throw Failed(operation, "The path must select a whole list.");
    }

    /// <param name="value">Null takes the element away.</param>
    private static void Replace(PocoNode node, object? value, Operation operation)
    {
        var parent = ParentOf(node, operation);
        if (parent.TryGetValue(node.Name, out var held) && held is IList list)
        {
            var index = 0;
            while (!ReferenceEquals(list[index], node.Poco))
                index++;
            if (value is null)
                list.RemoveAt(index);
            else
                list[index] = value;
        }
        else
            Set(parent, node.Name, value, operation);
    }

    private static PropertyMapping PropertyOf(Base holder, string name, Operation operation)
    {
        var mapping = ModelInfo.ModelInspector.FindClassMapping(holder);
        return mapping?.FindMappedElementByName(name) ?? mapping?.FindMappedElementByChoiceName(name)
            ?? throw Failed(operation, "There is no element of that name at that place.", "structure");
    }

    private static void Put(Base holder, PropertyMapping property, object value, Operation operation)
    {
        holder.TryGetValue(property.Name, out var held);
        if (!property.IsCollection)
        {
            if (held is not null)
                throw Failed(operation, "The element is there already; replace it.");
            Set(holder, property.Name, value, operation);
            return;
        }
        var list = held as IList ?? (IList)Activator.CreateInstance(typeof(List<>).MakeGenericType(property.ImplementingType))!;
        list.Add(value);
        Set(holder, property.Name, list, operation);
    }

    private static void Set(Base holder, string name, object? value, Operation operation)
    {
        try
        {
            holder.SetValue(name, value);
        }
        catch (Exception e) when (e is InvalidCastException or ArgumentException or FormatException)
        {
            throw Failed(operation, "The value is of a type that the element does not have.", "value");
        }
    }

    /// <summary>The value as the element has it: of a primitive only the literal matters, of a type without a name the parts.</summary>
    private static object Make(PropertyMapping property, Parameters.ParameterComponent given, Operation operation)
    {
        var type = property.ImplementingType;
        if (given.Value is PrimitiveType primitive)
        {
            if (type == typeof(string) && primitive.JsonValue is string text)
                return text;
            if (type.IsInstanceOfType(primitive))
                return primitive.DeepCopy();
            if (typeof(PrimitiveType).IsAssignableFrom(type) && !type.IsAbstract)
            {
                var converted = (PrimitiveType)Activator.CreateInstance(type)!;
                converted.JsonValue = primitive.JsonValue;
                converted.ElementId = primitive.ElementId;
                converted.Extension = [.. primitive.Extension.Select(e => (Extension)e.DeepCopy())];
                return converted;
            }
        }
        else if (given.Value is { } value && type.IsInstanceOfType(value))
            return value.DeepCopy();
        else if (given.Resource is { } resource && type.IsInstanceOfType(resource))
            return resource.DeepCopy();
        else if (given.Part.Count > 0 && typeof(Base).IsAssignableFrom(type) && !type.IsAbstract)
        {
            var made = (Base)Activator.CreateInstance(type)!;
            foreach (var part in given.Part)
            {
                var element = PropertyOf(made, part.Name ?? "", operation);
                Put(made, element, Make(element, part, operation), operation);
            }
            return made;
        }
        throw Failed(operation, "The value is of a type that the element does not have.", "value");
    }

    /// <summary>Whether a path only selects: short, not deeply nested, no variables, no functions but those.</summary>
    private static bool IsSelection(string path)
    {
        if (path.Length is 0 or > MaxPath)
            return false;
        var nesting = 0;
        for (var i = 0; i < path.Length; i++)
        {
            switch (path[i])
            {
                case '\'' or '`':
                    for (var quote = path[i++]; i < path.Length && path[i] != quote; i++)
                        if (path[i] == '\\')
                            i++;
                    break;
                case '(' or '[' or '{':
                    if (++nesting > MaxNesting || (path[i] == '(' && NameBefore(path.AsSpan(0, i)) is { Length: > 0 } name && !IsOperator(name) && !Functions.Contains(name)))
                        return false;
                    break;
                case ')' or ']' or '}':
                    nesting--;
                    break;
                case '%':
                case '/' when i + 1 < path.Length && path[i + 1] is '/' or '*':
                    return false;
            }
        }
        return nesting == 0;

        static string NameBefore(ReadOnlySpan<char> text)
        {
            text = text.TrimEnd();
            return text[(text.LastIndexOfAnyExcept(NameCharacters) + 1)..].ToString();
        }

        static bool IsOperator(string name) => name is "and" or "or" or "xor" or "implies" or "in" or "is" or "as" or "contains";
    }

    private static readonly System.Buffers.SearchValues<char> NameCharacters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_`");

    private static FaultException Failed(Operation operation, string sentence, string? code = null) =>
        new(new Fault(FaultKind.Unprocessable, new FaultIssue(sentence, operation.Expression, code)));
}
