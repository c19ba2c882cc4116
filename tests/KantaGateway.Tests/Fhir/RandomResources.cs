#pragma warning disable CA5394 // The same number must give the same resources; nothing here is a secret.
using System.Collections;
using Hl7.Fhir.Model;

namespace KantaGateway.Tests.Fhir;

/// <summary>
/// Full resources from which elements are taken away at random, and whose values come from small pools: two of them have much in
/// common, so that a question made of the one is often true of the other, and often nearly.
/// </summary>
static class RandomResources
{
    public static readonly string[] Words = ["Äiti", "aiti ja isa", "Isä", "ISA", "Sjöberg", "sjö", "a, b", "x|y", "$z", @"back\slash", "Åke-Olof", "false"];
    public static readonly string[] Systems = ["http://example.org/s", "http://example.org/t", "urn:oid:1.2.3"];
    public static readonly string[] Codes = ["a", "A", "b", "a,b", "a|b", "$a", "ab", @"a\b"];
    public static readonly string[] Uris = ["http://example.org/x", "http://example.org/x/y", "http://example.org/xy", "urn:oid:1.2.3", "http://example.org/", "http://example.org/x?a=b,c"];
    public static readonly string[] Days = ["2023", "2024", "2024-02", "2024-03", "2024-02-29", "2024-03-31", "2024-10-27"];
    public static readonly string[] Times = ["2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z", "2024-03-31T00:30:00Z", "2023-12-31T22:00:00.5Z", "2024-02-28T23:59:59-05:00", "2024-10-27T03:30:00+03:00"];
    public static readonly decimal[] Numbers = [0, 1, 1.5m, 5.4m, 5.40m, 99.5m, 100, 100.4m, -3, 0.0054m, 5400, 110];
    public static readonly string[] Units = ["mg", "g", "kg", "ug", "mL", "L", "min", "h"];

    /// <summary>A few of a type, always the same.</summary>
    public static IEnumerable<Resource> Some(string type)
    {
        var random = new Random(type.Aggregate(17, (hash, c) => unchecked(hash * 31 + c)));
        return Enumerable.Range(0, 4).Select(i => Of(type, $"r{i}", random));
    }

    /// <summary>One resource of a type; the same random numbers give the same one.</summary>
    public static Resource Of(string type, string id, Random random)
    {
        var resource = FullResources.Of(type, random.Next(24));
        Vary(resource, random);
        resource.Id = id;
        return resource;
    }

    private static void Vary(Base element, Random random)
    {
        foreach (var (name, value) in element.EnumerateElements().ToList())
        {
            // Where it refers to is varied as a whole.
            if (element is ResourceReference && name is not "identifier")
                continue;
            if (value is IList list)
            {
                for (var i = list.Count - 1; i >= 0; i--)
                    if (random.Next(5) == 0)
                        list.RemoveAt(i);
                    else if (list[i] is Base item)
                        Vary(item, random);
                if (list.Count == 0)
                    element.SetValue(name, null);
            }
            else if (value is Base child)
            {
                if (random.Next(6) == 0)
                    element.SetValue(name, null);
                else
                    Vary(child, random);
            }
        }
        Fill(element, random);
    }

    private static void Fill(Base element, Random random)
    {
        T Pick<T>(T[] values) => values[random.Next(values.Length)];
        bool Rarely() => random.Next(4) == 0;
        switch (element)
        {
            case Coding coding:
                (coding.System, coding.Code, coding.Display) = (Rarely() ? null : Pick(Systems), Rarely() ? null : Pick(Codes), Rarely() ? null : Pick(Words));
                break;
            case Identifier identifier:
                (identifier.System, identifier.Value) = (Rarely() ? null : Pick(Systems), Rarely() ? null : Pick(Codes));
                break;
            case Quantity quantity:
                var isMeasured = !Rarely();
                (quantity.Value, quantity.System, quantity.Code, quantity.Unit) = (Rarely() ? null : Pick(Numbers), isMeasured ? "http://unitsofmeasure.org" : Pick(Systems), isMeasured ? Pick(Units) : Pick(Codes), Pick(Words));
                quantity.Comparator = Rarely() ? Pick(Enum.GetValues<Quantity.QuantityComparator>()) : null;
                break;
            case Hl7.Fhir.Model.Range range:
                var (unit, least) = (Pick(Units), Pick(Numbers));
                (range.Low, range.High) = (Rarely() ? null : new(least, unit), Rarely() ? null : new(least + Math.Abs(Pick(Numbers)), unit));
                break;
            case Period period:
                var start = Pick(Days);
                (period.Start, period.End) = (Rarely() ? null : start, Rarely() ? null : Pick([start, "2024-12", "2025"]));
                break;
            case Location.PositionComponent position:
                (position.Latitude, position.Longitude) = (59 + random.Next(3), 23 + random.Next(3));
                break;
            case Location location when Rarely():
                location.Position = null;
                break;
            case ResourceReference reference when reference.Reference is { } literal:
                var type = literal.Split('/')[0];
                var id = "i" + random.Next(3);
                reference.Reference = random.Next(9) switch
                {
                    0 => $"{type}/{id}/_history/2",
                    1 => $"https://elsewhere.example/fhir/{type}/{id}",
                    2 => null,
                    _ => $"{type}/{id}",
                };
                reference.Type = reference.Reference is null && Rarely() ? type : null;
                break;
            case Canonical canonical:
                canonical.Value = Pick(Uris[..3]) + (Rarely() ? "|2" : "");
                break;
            case FhirUri uri:
                uri.Value = Pick(Uris);
                break;
            case FhirUrl url:
                url.Value = Pick(Uris);
                break;
            case FhirString text:
                text.Value = Pick(Words);
                break;
            case Code code when code.GetType() == typeof(Code):
                code.Value = Pick(Codes);
                break;
            case FhirBoolean truth:
                truth.Value = random.Next(2) == 0;
                break;
            case FhirDecimal number:
                number.Value = Pick(Numbers);
                break;
            case Integer number:
                number.Value = (int)Pick(Numbers);
                break;
            case PositiveInt number:
                number.Value = 1 + random.Next(110);
                break;
            case UnsignedInt number:
                number.Value = random.Next(110);
                break;
            case FhirDateTime time:
                time.Value = Rarely() ? Pick(Times) : Pick(Days);
                break;
            case Date date:
                date.Value = Pick(Days);
                break;
            case Instant instant:
                instant.Value = DateTimeOffset.Parse(Pick(Times), System.Globalization.CultureInfo.InvariantCulture);
                break;
        }
    }
}
