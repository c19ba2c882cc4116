using System.Collections;
using System.Globalization;
using System.Text;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Compartment;

/// <summary>Walks the elements of a parsed resource; the FHIRPath of a place is only written out when somebody asks.</summary>
static class ElementTree
{
    /// <summary>A place in a resource. Valid during the visit.</summary>
    public sealed class Place
    {
        private readonly List<(string Name, int Index)> _steps = [];
        private readonly string _root;

        internal Place(string root) => _root = root;

        internal void Push(string name, int index) => _steps.Add((name, index));

        internal void Pop() => _steps.RemoveAt(_steps.Count - 1);

        /// <summary>Names of the steps below a resource of a type, without indices, such as <c>Patient.identifier.assigner</c>.</summary>
        public string ToPath(string type)
        {
            var text = new StringBuilder(type);
            foreach (var (name, _) in _steps)
                text.Append('.').Append(name);
            return text.ToString();
        }

        /// <summary>FHIRPath of the place, such as <c>Patient.identifier[0]</c>, with a child's name after it.</summary>
        public string ToExpression(string? child = null)
        {
            var text = new StringBuilder(_root);
            foreach (var (name, index) in _steps)
            {
                text.Append('.').Append(name);
                if (index >= 0)
                    text.Append('[').Append(index.ToString(CultureInfo.InvariantCulture)).Append(']');
            }
            if (child is not null)
                text.Append('.').Append(child);
            return text.ToString();
        }
    }

    /// <summary>Calls <paramref name="visitor"/> for every element of type <typeparamref name="T"/>, in document order.</summary>
    /// <param name="root">FHIRPath of <paramref name="start"/> itself; null: its type name.</param>
    public static void Visit<T>(Base start, Action<T, Place> visitor, string? root = null) where T : Base =>
        Visit(start, new Place(root ?? start.TypeName), visitor);

    private static void Visit<T>(Base element, Place place, Action<T, Place> visitor) where T : Base
    {
        if (element is T wanted)
            visitor(wanted, place);
        foreach (var (name, value) in element.EnumerateElements())
        {
            if (value is Base child)
            {
                place.Push(name, -1);
                Visit(child, place, visitor);
                place.Pop();
            }
            else if (value is not string and IEnumerable children)
            {
                var index = 0;
                foreach (var item in children)
                {
                    if (item is Base listed)
                    {
                        place.Push(name, index);
                        Visit(listed, place, visitor);
                        place.Pop();
                    }
                    index++;
                }
            }
        }
    }
}
