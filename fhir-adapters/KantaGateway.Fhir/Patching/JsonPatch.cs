using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Patching;

/// <summary>JSON Patch (RFC 6902) over JSON Pointers (RFC 6901).</summary>
/// <remarks>
/// Written here because <c>Microsoft.AspNetCore.JsonPatch.SystemTextJson</c> fails 15 of the 108 cases of
/// json-patch-tests (the whole document, empty names, null in <c>test</c>, missing <c>value</c>, leading zeros) and quotes
/// values in its messages.
/// </remarks>
public sealed class JsonPatch : ResourcePatch
{
    /// <summary>Characters that the operations of one patch may copy: a few copies of copies would fill any memory.</summary>
    private const int MaxCopied = 10_000_000;

    private const string NoText = "A string is not valid UTF-8 or has an incomplete surrogate pair.";

    private static readonly JsonDocumentOptions Strictly = new() { AllowDuplicateProperties = false, MaxDepth = JsonFaults.MaxDepth };

    private readonly IReadOnlyList<Operation> _operations;
    private readonly string? _root;

    private enum Verb { Add, Remove, Replace, Move, Copy, Test }

    /// <param name="Number">Position in the patch, from 1.</param>
    /// <param name="From">Of move and copy.</param>
    /// <param name="Value">Of add, replace and test; undefined for others.</param>
    private sealed record Operation(int Number, Verb Verb, string[] Path, string[] From, JsonElement Value);

    private JsonPatch(IReadOnlyList<Operation> operations, string? root) => (_operations, _root) = (operations, root);

    private protected override string? Root => _root;

    /// <summary>Reads a patch document.</summary>
    /// <param name="json">UTF-8.</param>
    /// <param name="root">FHIRPath of the Binary that carries it.</param>
    /// <returns>One of the two; the fault never quotes a value.</returns>
    public static (JsonPatch? Patch, Fault? Fault) Read(ReadOnlySpan<byte> json, string? root = null)
    {
        JsonElement document;
        try
        {
            document = JsonElement.Parse(json, Strictly);
        }
        catch (JsonException e)
        {
            return (null, new Fault(FaultKind.Invalid, e.LineNumber is { } line
                ? $"The JSON Patch is malformed JSON at line {line + 1}, byte {e.BytePositionInLine + 1}."
                : "The JSON Patch is malformed JSON, or has a member twice.", root));
        }
        catch (InvalidOperationException)
        {
            // Of a name, which is looked at for standing twice.
            return Wrong(NoText);
        }
        if (!JsonFaults.IsText(json))
            return Wrong(NoText);
        if (document.ValueKind != JsonValueKind.Array)
            return Wrong("A JSON Patch is an array of operations.");
        if (document.GetArrayLength() > MaxOperations)
            return (null, new Fault(FaultKind.Unprocessable, new FaultIssue($"The patch has more than {MaxOperations} operations.", root, "too-costly")));
        var operations = new List<Operation>(document.GetArrayLength());
        foreach (var item in document.EnumerateArray())
        {
            var number = operations.Count + 1;
            if (item.ValueKind != JsonValueKind.Object || TextOf(item, "op") is not { } op || VerbOf(op) is not { } verb)
                return Wrong($"Operation {number} has no op of add, remove, replace, move, copy and test.");
            if (PointerOf(item, "path") is not { } path)
                return Wrong($"The path of operation {number} is no JSON Pointer.");
            string[]? from = verb is Verb.Move or Verb.Copy ? PointerOf(item, "from") : [];
            if (from is null)
                return Wrong($"The from of operation {number} is no JSON Pointer.");
            if (!item.TryGetProperty("value", out var value) && verb is Verb.Add or Verb.Replace or Verb.Test)
                return Wrong($"Operation {number} has no value.");
            operations.Add(new(number, verb, path, from, value));
        }
        return (new JsonPatch(operations, root), null);

        (JsonPatch?, Fault?) Wrong(string sentence) => (null, new Fault(FaultKind.Invalid, sentence, root));
    }

    private protected override byte[] Change(ReadOnlyMemory<byte> current)
    {
        var run = Carry(JsonNode.Parse(current.Span));
        run.Prune();
        return Encoding.UTF8.GetBytes(run.Document?.ToJsonString() ?? "null");
    }

    /// <summary>Applies the operations in their order, to any JSON document.</summary>
    /// <param name="document">Becomes part of the result.</param>
    /// <returns>The patched document; null is JSON's null.</returns>
    /// <exception cref="FaultException">One of them does not fit.</exception>
    public JsonNode? Change(JsonNode? document) => Carry(document).Document;

    private Run Carry(JsonNode? document)
    {
        var run = new Run(document, this);
        foreach (var operation in _operations)
            run.Do(operation);
        return run;
    }

    private sealed class Run(JsonNode? document, JsonPatch patch)
    {
        private readonly List<JsonNode> _takenFrom = [];
        private long _copied;

        public JsonNode? Document { get; private set; } = document;

        public void Do(Operation operation)
        {
            switch (operation.Verb)
            {
                case Verb.Add:
                    Add(operation, NodeOf(operation.Value));
                    break;
                case Verb.Remove:
                    Remove(operation, operation.Path);
                    break;
                case Verb.Replace:
                    Find(operation, operation.Path);
                    Put(operation, NodeOf(operation.Value));
                    break;
                case Verb.Move:
                    if (operation.Path.Length > operation.From.Length && operation.Path.AsSpan(0, operation.From.Length).SequenceEqual(operation.From))
                        throw Unfit(operation, "moves an element into itself.");
                    Add(operation, Remove(operation, operation.From));
                    break;
                case Verb.Copy:
                    var copied = Find(operation, operation.From);
                    Weigh(operation, copied, 0);
                    Add(operation, copied?.DeepClone());
                    break;
                case Verb.Test:
                    if (!JsonNode.DeepEquals(Find(operation, operation.Path), NodeOf(operation.Value)))
                        throw patch.Failed($"The test of operation {operation.Number} does not hold; read the resource again.", "conflict");
                    break;
            }
        }

        /// <summary>Takes away the arrays and objects that removals have left empty: FHIR has none (json.html).</summary>
        public void Prune()
        {
            foreach (var emptied in _takenFrom)
                for (var node = emptied; node.Parent is { } parent && node is JsonArray { Count: 0 } or JsonObject { Count: 0 }; node = parent)
                    if (parent is JsonArray list)
                        list.RemoveAt(node.GetElementIndex());
                    else
                        parent.AsObject().Remove(node.GetPropertyName());
        }

        private void Add(Operation operation, JsonNode? value)
        {
            if (operation.Path.Length > 0 && Find(operation, operation.Path[..^1]) is JsonArray list)
            {
                var name = operation.Path[^1];
                list.Insert(name == "-" ? list.Count : IndexIn(operation, name, list.Count), value);
            }
            else
                Put(operation, value);
        }

        /// <summary>Puts a value where the path leads, in the place of what is there.</summary>
        private void Put(Operation operation, JsonNode? value)
        {
            if (operation.Path is not [.. var above, var name])
                Document = value;
            else if (Find(operation, above) is JsonArray list)
                list[IndexIn(operation, name, list.Count - 1)] = value;
            else if (Find(operation, above) is JsonObject holder)
                holder[name] = value;
            else
                throw NoElement(operation);
        }

        private JsonNode? Remove(Operation operation, string[] path)
        {
            var removed = Find(operation, path);
            if (path is not [.. var above, var name])
            {
                Document = null;
                return removed;
            }
            var holder = Find(operation, above)!;
            _takenFrom.Add(holder);
            if (holder is JsonArray list)
                list.RemoveAt(IndexIn(operation, name, list.Count - 1));
            else
                holder.AsObject().Remove(name);
            return removed;
        }

        private JsonNode? Find(Operation operation, ReadOnlySpan<string> path)
        {
            var at = Document;
            foreach (var name in path)
                at = at switch
                {
                    JsonArray list => list[IndexIn(operation, name, list.Count - 1)],
                    JsonObject holder when holder.TryGetPropertyValue(name, out var value) => value,
                    _ => throw NoElement(operation),
                };
            return at;
        }

        /// <summary>Digits without a leading zero, RFC 6901 section 4.</summary>
        private int IndexIn(Operation operation, string name, int last) =>
            name.Length is > 0 and < 10 && !name.AsSpan().ContainsAnyExceptInRange('0', '9') && (name.Length == 1 || name[0] != '0')
            && int.Parse(name, System.Globalization.CultureInfo.InvariantCulture) is var index && index <= last ? index : throw NoElement(operation);

        private void Weigh(Operation operation, JsonNode? node, int depth)
        {
            if (depth > JsonFaults.MaxDepth)
                throw Unfit(operation, $"nests objects and arrays deeper than {JsonFaults.MaxDepth} levels.");
            _copied++;
            switch (node)
            {
                case JsonObject holder:
                    foreach (var (name, value) in holder)
                    {
                        _copied += name.Length;
                        Weigh(operation, value, depth + 1);
                    }
                    break;
                case JsonArray list:
                    foreach (var item in list)
                        Weigh(operation, item, depth + 1);
                    break;
                case not null:
                    _copied += node.ToJsonString().Length;
                    break;
            }
            if (_copied > MaxCopied)
                throw patch.Failed("The patch copies too much.", "too-costly");
        }

        private FaultException NoElement(Operation operation) => Unfit(operation, "names an element that is not there.");

        private FaultException Unfit(Operation operation, string sentence) => patch.Failed($"Operation {operation.Number} {sentence}", null);
    }

    private FaultException Failed(string sentence, string? code) => new(new Fault(FaultKind.Unprocessable, new FaultIssue(sentence, _root, code)));

    private static JsonNode? NodeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => JsonObject.Create(value),
        JsonValueKind.Array => JsonArray.Create(value),
        JsonValueKind.Null => null,
        _ => JsonValue.Create(value),
    };

    private static Verb? VerbOf(string op) => op switch
    {
        "add" => Verb.Add, "remove" => Verb.Remove, "replace" => Verb.Replace, "move" => Verb.Move, "copy" => Verb.Copy, "test" => Verb.Test, _ => null,
    };

    private static string? TextOf(JsonElement holder, string name) =>
        holder.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <summary>The steps of a JSON Pointer; null when it is none.</summary>
    private static string[]? PointerOf(JsonElement operation, string member)
    {
        if (TextOf(operation, member) is not { } pointer)
            return null;
        if (pointer.Length == 0)
            return [];
        if (pointer[0] != '/')
            return null;
        var steps = pointer[1..].Split('/');
        for (var i = 0; i < steps.Length; i++)
        {
            for (var tilde = steps[i].IndexOf('~'); tilde >= 0; tilde = steps[i].IndexOf('~', tilde + 1))
                if (tilde + 1 == steps[i].Length || steps[i][tilde + 1] is not ('0' or '1'))
                    return null;
            steps[i] = steps[i].Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
        }
        return steps;
    }
}
