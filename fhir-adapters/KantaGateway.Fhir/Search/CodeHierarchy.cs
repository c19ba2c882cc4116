using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Search;

/// <summary>What is a kind of what in one code system (hl7.org/fhir/R4/codesystem.html#hierarchy).</summary>
sealed class CodeHierarchy
{
    private readonly Dictionary<string, List<string>> _children = new(StringComparer.Ordinal), _parents = new(StringComparer.Ordinal);

    public int Count => _children.Count;

    /// <returns>Null where the levels mean something else.</returns>
    public static CodeHierarchy? Of(CodeSystem system)
    {
        if (system.HierarchyMeaning is not (null or CodeSystem.CodeSystemHierarchyMeaning.IsA))
            return null;
        var hierarchy = new CodeHierarchy();
        foreach (var concept in system.Concept)
            hierarchy.Add(concept);
        return hierarchy;
    }

    public HashSet<string>? Around(string code, bool above)
    {
        if (!_children.ContainsKey(code))
            return null;
        var next = above ? _parents : _children;
        var found = new HashSet<string>(StringComparer.Ordinal);
        var open = new Stack<string>([code]);
        while (open.TryPop(out var one))
            if (found.Add(one))
                foreach (var other in next.GetValueOrDefault(one) ?? [])
                    open.Push(other);
        return found;
    }

    private void Add(CodeSystem.ConceptDefinitionComponent concept)
    {
        // v2-0550 has a concept without a code.
        if (concept.Code is not { } code)
            return;
        _children.TryAdd(code, []);
        // A code under several others stands in the tree once, and its other places are properties.
        foreach (var property in concept.Property)
            if (property is { Code: "child" or "parent", Value: Code { Value: { } other } })
                Link(property.Code == "child" ? code : other, property.Code == "child" ? other : code);
        foreach (var child in concept.Concept)
        {
            if (child.Code is { } under)
                Link(code, under);
            Add(child);
        }
    }

    private void Link(string parent, string child)
    {
        if (!_children.TryGetValue(parent, out var children))
            _children[parent] = children = [];
        children.Add(child);
        if (!_parents.TryGetValue(child, out var parents))
            _parents[child] = parents = [];
        parents.Add(parent);
    }
}
