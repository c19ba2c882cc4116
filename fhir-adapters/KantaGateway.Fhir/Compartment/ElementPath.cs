using System.Collections;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text.RegularExpressions;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Compartment;

/// <summary>
/// The plain part of FHIRPath that R4's compartment and search parameters are written in: element names after a type,
/// casts, <c>extension('url')</c>, <c>where(name='value')</c>, <c>where(resolve() is T)</c> and <c>x.exists() and x != false</c>. A thousand times faster to
/// compile and run than a general engine, and checked against Firely's for every served parameter.
/// </summary>
sealed partial class ElementPath
{
    private static readonly ConcurrentDictionary<string, ElementPath?> Parsed = new();

    private readonly string? _type;
    private readonly Step[] _steps;

    // Of x.exists() and x != false: the steps lead to x, and what is selected is whether that holds.
    private readonly bool _isTruth;

    private ElementPath(string? type, Step[] steps, string? target, bool isTruth) => (_type, _steps, Target, _isTruth) = (type, steps, target, isTruth);

    /// <summary>One of the three: an element's name; what a child of it must be (name and value); the type it must have.</summary>
    private readonly record struct Step(string? Name, string? Value, string? Cast);

    /// <summary>Of <c>where(resolve() is T)</c>: T, to be matched against the type in the reference's literal.</summary>
    public string? Target { get; }

    /// <exception cref="FormatException">The expression uses more of FHIRPath than this.</exception>
    public static ElementPath Parse(string expression) =>
        TryParse(expression) ?? throw new FormatException($"The path '{expression}' needs a general FHIRPath engine.");

    /// <summary>
    /// Null where the expression uses more of FHIRPath than this. An expression that begins with a resource type selects
    /// from resources of that type alone, any other from whatever it is given.
    /// </summary>
    public static ElementPath? TryParse(string expression) => Parsed.GetOrAdd(expression, static text =>
    {
        const string Exists = ".exists() and ";
        var isTruth = text.IndexOf(Exists, StringComparison.Ordinal) is > 0 and var at && text[(at + Exists.Length)..] == text[..at] + " != false";
        if (isTruth)
            text = text[..text.IndexOf(Exists, StringComparison.Ordinal)];
        // (a.b as T) and (a.b as T).c
        if (Cast().Match(text) is { Success: true } cast)
            text = $"{cast.Groups[1].Value}.as({cast.Groups[2].Value}){cast.Groups[3].Value}";
        var steps = new List<Step>();
        string? type = null, target = null;
        for (var isFirst = true; text.Length > 0; isFirst = false)
        {
            if (Part().Match(text) is not { Success: true } part || target is not null)
                return null;
            text = text[part.Length..];
            if (part.Groups["as"] is { Success: true, Value: var wanted })
                steps.Add(new(null, null, wanted));
            else if (part.Groups["extension"] is { Success: true, Value: var url })
                steps.AddRange([new("extension", null, null), new("url", url, null)]);
            else if (part.Groups["resolve"] is { Success: true, Value: var resolved })
                target = resolved;
            else if (part.Groups["where"] is { Success: true, Value: var child })
                steps.Add(new(child, part.Groups["value"].Value, null));
            else if (isFirst && ModelInfo.IsKnownResource(part.Groups["name"].Value))
                type = part.Groups["name"].Value;
            else if (isFirst && part.Groups["name"].Value is "Resource" or "DomainResource")
                continue;
            else
                steps.Add(new(part.Groups["name"].Value, null, null));
        }
        return new(type, [.. steps], target, isTruth);
    });

    [GeneratedRegex(@"^\(([A-Za-z0-9.]+) as ([A-Za-z]+)\)((?:\.[A-Za-z0-9]+)*)$")]
    private static partial Regex Cast();

    [GeneratedRegex(@"^(?:\.?(?:as|ofType)\((?<as>[A-Za-z]+)\)|\.?where\(resolve\(\) is (?<resolve>[A-Za-z]+)\)|\.?where\((?<where>[A-Za-z]+)\s*=\s*'(?<value>[^']*)'\)|\.?extension\('(?<extension>[^']*)'\)|\.?(?<name>[A-Za-z0-9]+))(?=\.|$)")]
    private static partial Regex Part();

    /// <summary>What the elements at the path are, in resources of a type; null where that is open.</summary>
    public Type? TypeIn(string resource)
    {
        var at = ModelInfo.ModelInspector.FindClassMapping(resource);
        foreach (var step in _steps)
            at = step switch
            {
                { Cast: { } cast } => ModelInfo.ModelInspector.FindClassMapping(cast),
                { Name: { } name, Value: null } => at?.FindMappedElementByName(name)?.PropertyTypeMapping,
                _ => at,
            };
        return at?.NativeType;
    }

    /// <summary>The elements at the path; none when the resource is of another type.</summary>
    public List<Base> Select(Base root)
    {
        var found = new List<Base>();
        if (_type is null || root.TypeName == _type)
            Collect(root, 0, found);
        return _isTruth && (_type is null || root.TypeName == _type) ? [new FhirBoolean(found is [not FhirBoolean { Value: false }, ..])] : found;
    }

    /// <summary>As <see cref="Select"/>, with the FHIRPath of each.</summary>
    public List<(Base Element, string Expression)> Locate(Resource resource, string? root)
    {
        var found = new List<(Base, string)>();
        if (_type is null || resource.TypeName == _type)
            Locate(resource, 0, root ?? resource.TypeName, found);
        return found;
    }

    private void Collect(Base element, int step, List<Base> found)
    {
        if (step == _steps.Length)
        {
            found.Add(element);
            return;
        }
        var next = _steps[step];
        if (next is not { Name: { } name, Value: null })
        {
            if (Holds(next, element))
                Collect(element, step + 1, found);
        }
        else if (element.TryGetValue(name, out var value))
        {
            if (value is Base child)
                Collect(child, step + 1, found);
            else if (value is not string and IEnumerable children)
                foreach (var item in children)
                    if (item is Base listed)
                        Collect(listed, step + 1, found);
        }
    }

    private void Locate(Base element, int step, string expression, List<(Base, string)> found)
    {
        if (step == _steps.Length)
        {
            found.Add((element, expression));
            return;
        }
        var next = _steps[step];
        if (next is not { Name: { } name, Value: null })
        {
            if (Holds(next, element))
                Locate(element, step + 1, expression, found);
        }
        else if (element.TryGetValue(name, out var value))
        {
            if (value is Base child)
                Locate(child, step + 1, $"{expression}.{name}", found);
            else if (value is not string and IEnumerable children)
            {
                var index = 0;
                foreach (var item in children)
                {
                    if (item is Base listed)
                        Locate(listed, step + 1, string.Create(CultureInfo.InvariantCulture, $"{expression}.{name}[{index}]"), found);
                    index++;
                }
            }
        }
    }

    // R4 writes as(DateTime) for dateTime.
    private static bool Holds(Step step, Base element) => step.Cast is { } cast
        ? string.Equals(element.TypeName, cast, StringComparison.OrdinalIgnoreCase)
        : element.TryGetValue(step.Name!, out var child) && child is PrimitiveType { JsonValue: string text } && text == step.Value;
}
