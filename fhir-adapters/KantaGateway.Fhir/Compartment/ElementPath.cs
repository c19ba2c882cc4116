using System.Collections;
using System.Collections.Concurrent;
using System.Globalization;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Compartment;

/// <summary>
/// The plain part of FHIRPath that R4's compartment and the served search parameters are written in: element names
/// after a type, an <c>as</c> cast of the last one, <c>where(resolve() is T)</c>. A thousand times faster to compile
/// and run than a general engine, and checked against Firely's over the sample data.
/// </summary>
sealed class ElementPath
{
    private static readonly ConcurrentDictionary<string, ElementPath> Parsed = new();

    private readonly string _type;
    private readonly string[] _names;
    private readonly string? _cast;

    private ElementPath(string type, string[] names, string? cast, string? target) => (_type, _names, _cast, Target) = (type, names, cast, target);

    /// <summary>Of <c>where(resolve() is T)</c>: T, to be matched against the type in the reference's literal.</summary>
    public string? Target { get; }

    /// <exception cref="FormatException">The expression uses more of FHIRPath than this.</exception>
    public static ElementPath Parse(string expression) => Parsed.GetOrAdd(expression, static text =>
    {
        var original = text;
        string? target = null, cast = null;
        if (text.EndsWith(')') && text.IndexOf(".where(resolve() is ", StringComparison.Ordinal) is > 0 and var where)
        {
            target = text[(where + ".where(resolve() is ".Length)..^1];
            text = text[..where];
        }
        if (text.StartsWith('(') && text.EndsWith(')') && text.IndexOf(" as ", StringComparison.Ordinal) is > 0 and var at)
        {
            cast = text[(at + " as ".Length)..^1];
            text = text[1..at];
        }
        var names = text.Split('.');
        if (names.Length < 2 || names.Append(target ?? "x").Append(cast ?? "x").Any(n => n.Length == 0 || n.AsSpan().ContainsAnyExcept(Letters)))
            throw new FormatException($"The path '{original}' needs a general FHIRPath engine.");
        return new(names[0], names[1..], cast, target);
    });

    private static readonly System.Buffers.SearchValues<char> Letters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

    /// <summary>The elements at the path; none when the resource is of another type.</summary>
    public List<Base> Select(Resource resource)
    {
        var found = new List<Base>();
        if (resource.TypeName == _type)
            Collect(resource, 0, found);
        return found;
    }

    /// <summary>As <see cref="Select"/>, with the FHIRPath of each.</summary>
    public List<(Base Element, string Expression)> Locate(Resource resource, string? root)
    {
        var found = new List<(Base, string)>();
        if (resource.TypeName == _type)
            Locate(resource, 0, root ?? _type, found);
        return found;
    }

    private void Collect(Base element, int step, List<Base> found)
    {
        if (step == _names.Length)
        {
            if (_cast is null || element.TypeName == _cast)
                found.Add(element);
        }
        else if (element.TryGetValue(_names[step], out var value))
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
        if (step == _names.Length)
        {
            if (_cast is null || element.TypeName == _cast)
                found.Add((element, expression));
        }
        else if (element.TryGetValue(_names[step], out var value))
        {
            if (value is Base child)
                Locate(child, step + 1, $"{expression}.{_names[step]}", found);
            else if (value is not string and IEnumerable children)
            {
                var index = 0;
                foreach (var item in children)
                {
                    if (item is Base listed)
                        Locate(listed, step + 1, string.Create(CultureInfo.InvariantCulture, $"{expression}.{_names[step]}[{index}]"), found);
                    index++;
                }
            }
        }
    }
}
