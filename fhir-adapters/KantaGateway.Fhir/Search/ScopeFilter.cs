using System.Text;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Fhir.Search;

/// <summary>
/// <see cref="DisclosureScope.Admits"/> over index entries, without making strings of them. Says the same in every case;
/// a property test holds the two together. Immutable; thread-safe.
/// </summary>
public sealed class ScopeFilter
{
    private readonly Breadth _breadth;
    private readonly byte[] _controller;
    private readonly byte[][] _denied;
    private readonly byte[][]? _types;

    public ScopeFilter(DisclosureScope scope)
    {
        _breadth = scope.Breadth;
        _controller = Encoding.UTF8.GetBytes(scope.Controller);
        _denied = [.. scope.DeniedServiceEvents.Select(Encoding.UTF8.GetBytes)];
        _types = scope.Types?.Select(Encoding.UTF8.GetBytes).ToArray();
    }

    /// <summary>Whether an entry may be seen; deletions are judged like what they deleted.</summary>
    public bool Admits(in IndexEntry entry)
    {
        if (_types is not null && !Contains(_types, entry.Type))
            return false;
        switch (_breadth)
        {
            case Breadth.WholePerson or Breadth.Directory:
                return true;
            case Breadth.OwnRegister or Breadth.Disclosed when !entry.Type.SequenceEqual("Consent"u8):
                return entry.Controller.SequenceEqual(_controller)
                    || (_breadth == Breadth.Disclosed && (entry.ServiceEvent.IsEmpty || !Contains(_denied, entry.ServiceEvent)));
            default:
                return false;
        }
    }

    private static bool Contains(byte[][] list, ReadOnlySpan<byte> value)
    {
        foreach (var item in list)
            if (value.SequenceEqual(item))
                return true;
        return false;
    }
}
