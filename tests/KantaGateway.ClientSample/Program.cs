using Hl7.Fhir.Model;
using Hl7.Fhir.Rest;
using KantaGateway.Client;

// A clinic's system connects, registers a person, records a result, finds it, is refused with a reason, and verifies what it was given.
// Arguments: the gateway's data folder, its address, an identity code.
var options = KantaClientOptions.FromFolder(Path.Combine(args[0], "clinics", "aurora"), roots: Path.Combine(args[0], "ca.pem"), auditLog: Path.Combine(args[0], "audit.vkey"));
using var kanta = KantaClient.Open(options with { Address = new Uri(args[1]) });
using var fhir = kanta.System();

var person = new Patient { Identifier = [new("urn:oid:1.2.246.21", args[2])], Name = [new() { Family = "Esimerkki", Given = ["Eeva"] }] };
var patient = (await fhir.CreateAsync(person))!;
var result = new Observation { Status = ObservationStatus.Final, Code = new("http://loinc.org", "8867-4"), Subject = new($"Patient/{patient.Id}"), Identifier = [new("urn:sample", patient.Id)] };
// Under a condition the creation may be repeated: an answer that was lost on the way makes no second result.
var once = new SearchParams().Where($"patient={patient.Id}").Where($"identifier=urn:sample|{patient.Id}");
var stored = (await fhir.ConditionalCreateAsync(result, once))!;
var found = (await fhir.SearchUsingPostAsync(new SearchParams().Where($"patient={patient.Id}").Where($"_id={stored.Id}"), "Observation"))!;
Console.WriteLine($"found {found.Total}");

try
{
    await fhir.CreateAsync(new Observation { Code = result.Code, Subject = result.Subject });
}
catch (InvalidRequestException e)
{
    Console.WriteLine($"refused {e.Issues[0].Expression} {(e.CorrelationId is null ? "without" : "with")} correlation id");
}

var verdicts = new List<string?>();
foreach (var receipt in kanta.Receipts.Receipts.ToList())
    verdicts.Add(await kanta.VerifyAsync(receipt));
Console.WriteLine($"verified {verdicts.Count(static problem => problem is null)} of {verdicts.Count} receipts, {kanta.Receipts.WithoutReceipt.Count()} answers without");
