-- Constraints of identity, each on both sides of its limit, tried as the owner: whatever grants,
-- policies and functions let through, a row cannot say more than this.
begin;
select plan(107);

select tests.make_user('pia');
select tests.make_user('doc', 'doctor');
insert into public.account_grants (id, user_id, "grant")
values (tests.id('moderator'), tests.uid('pia'), 'moderator'),
  (tests.id('seller'), tests.uid('pia'), 'seller');
insert into private.sign_in_failures (user_id, method, failures, window_started_at)
values (tests.uid('pia'), 'password', 1, now());

select is(
  tests.refusal(format('update public.profiles set %s where id = %L', change, tests.uid('pia'))),
  outcome, format('profiles: %s: %s', left(change, 60), outcome)
)
from (values
  ($$role = 'moderator'$$, 'profiles_role_check'),
  ($$role = 'caregiver'$$, 'done'),
  ($$display_name = repeat('x', 0)$$, 'profiles_display_name_check'),
  ($$display_name = repeat('x', 1)$$, 'done'),
  ($$display_name = repeat('x', 80)$$, 'done'),
  ($$display_name = repeat('x', 81)$$, 'profiles_display_name_check'),
  ($$display_name = ' x'$$, 'profiles_display_name_check'),
  ($$display_name = null$$, 'done'),
  ($$avatar_path = id || '/' || repeat('x', 263)$$, 'done'),
  ($$avatar_path = id || '/' || repeat('x', 264)$$, 'profiles_avatar_path_check'),
  ($$avatar_path = gen_random_uuid() || '/x'$$, 'profiles_avatar_path_check'),
  ($$avatar_path = id || '/../x'$$, 'profiles_avatar_path_check'),
  ($$bio = repeat('x', 500)$$, 'done'),
  ($$bio = repeat('x', 501)$$, 'profiles_bio_check'),
  ($$subscription_tier = 'gold'$$, 'profiles_subscription_tier_check'),
  ($$subscription_tier = 'premium'$$, 'done'),
  ($$locale = 'EN'$$, 'profiles_locale_check'),
  ($$locale = 'hi-IN'$$, 'done'),
  ($$timezone = '+05:30'$$, 'profiles_timezone_check'),
  ($$timezone = 'Asia/Kolkata'$$, 'done')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.patients set %s where id = %L', change, tests.uid('pia'))),
  outcome, format('patients: %s: %s', left(change, 60), outcome)
)
from (values
  ($$first_name = repeat('x', 0)$$, 'patients_first_name_check'),
  ($$first_name = repeat('x', 1)$$, 'done'),
  ($$first_name = repeat('x', 100)$$, 'done'),
  ($$first_name = repeat('x', 101)$$, 'patients_first_name_check'),
  ($$last_name = repeat('x', 0)$$, 'patients_last_name_check'),
  ($$last_name = repeat('x', 1)$$, 'done'),
  ($$last_name = repeat('x', 100)$$, 'done'),
  ($$last_name = repeat('x', 101)$$, 'patients_last_name_check'),
  ($$date_of_birth = '1879-12-31'$$, 'patients_date_of_birth_check'),
  ($$date_of_birth = '1880-01-01'$$, 'done'),
  ($$date_of_birth = current_date + 1$$, 'done'),
  ($$date_of_birth = current_date + 2$$, 'patients_date_of_birth_check'),
  ($$gender = 'x'$$, 'patients_gender_check'),
  ($$gender = 'unknown'$$, 'done'),
  ($$phone = tests.sealed('0123')$$, 'done'),
  ($$phone = tests.sealed('012')$$, 'patients_phone_check'),
  ($$phone = tests.sealed(repeat('0', 40))$$, 'done'),
  ($$phone = tests.sealed(repeat('0', 41))$$, 'patients_phone_check'),
  ($$phone = '+91 98'$$, 'patients_phone_check'),
  ($$emergency_contact_phone = tests.sealed('0123')$$, 'done'),
  ($$emergency_contact_phone = tests.sealed('012')$$, 'patients_emergency_contact_phone_check'),
  ($$emergency_contact_phone = tests.sealed(repeat('0', 40))$$, 'done'),
  ($$emergency_contact_phone = tests.sealed(repeat('0', 41))$$,
    'patients_emergency_contact_phone_check'),
  ($$emergency_contact_phone = '+91 98'$$, 'patients_emergency_contact_phone_check'),
  ($$date_of_birth = '1970-01-02', diagnosis_date = '1970-01-01'$$,
    'patients_diagnosis_date_check'),
  ($$date_of_birth = '1970-01-02', diagnosis_date = '1970-01-02'$$, 'done'),
  ($$diagnosis_date = '1879-12-31'$$, 'patients_diagnosis_date_check'),
  ($$diagnosis_date = current_date + 1$$, 'done'),
  ($$diagnosis_date = current_date + 2$$, 'patients_diagnosis_date_check'),
  ($$address = tests.sealed('')$$, 'patients_address_check'),
  ($$address = tests.sealed(repeat('x', 2000))$$, 'done'),
  ($$address = tests.sealed(repeat('x', 2001))$$, 'patients_address_check'),
  ($$address = '12 Main Road'$$, 'patients_address_check'),
  ($$city = repeat('x', 100)$$, 'done'),
  ($$city = repeat('x', 101)$$, 'patients_texts_check'),
  ($$state = repeat('x', 100)$$, 'done'),
  ($$state = repeat('x', 101)$$, 'patients_texts_check'),
  ($$postal_code = repeat('x', 20)$$, 'done'),
  ($$postal_code = repeat('x', 21)$$, 'patients_texts_check'),
  ($$country = repeat('x', 100)$$, 'done'),
  ($$country = repeat('x', 101)$$, 'patients_texts_check'),
  ($$insurance_provider = repeat('x', 200)$$, 'done'),
  ($$insurance_provider = repeat('x', 201)$$, 'patients_texts_check'),
  ($$insurance_policy_number = tests.sealed('')$$, 'patients_insurance_policy_number_check'),
  ($$insurance_policy_number = tests.sealed(repeat('x', 400))$$, 'done'),
  ($$insurance_policy_number = tests.sealed(repeat('x', 401))$$,
    'patients_insurance_policy_number_check'),
  ($$insurance_policy_number = 'P-1'$$, 'patients_insurance_policy_number_check'),
  ($$emergency_contact_name = repeat('x', 200)$$, 'done'),
  ($$emergency_contact_name = repeat('x', 201)$$, 'patients_texts_check'),
  ($$emergency_contact_relationship = repeat('x', 100)$$, 'done'),
  ($$emergency_contact_relationship = repeat('x', 101)$$, 'patients_texts_check'),
  ($$cancer_type = repeat('x', 200)$$, 'done'),
  ($$cancer_type = repeat('x', 201)$$, 'patients_texts_check'),
  ($$treatment_stage = repeat('x', 200)$$, 'done'),
  ($$treatment_stage = repeat('x', 201)$$, 'patients_texts_check'),
  ($$medical_history = repeat('x', 20000)$$, 'done'),
  ($$medical_history = repeat('x', 20001)$$, 'patients_texts_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.doctors set %s where id = %L', change, tests.uid('doc'))),
  outcome, format('doctors: %s: %s', left(change, 60), outcome)
)
from (values
  ($$license_number = repeat('x', 2)$$, 'doctors_license_number_check'),
  ($$license_number = repeat('x', 3)$$, 'done'),
  ($$license_number = repeat('x', 60)$$, 'done'),
  ($$license_number = repeat('x', 61)$$, 'doctors_license_number_check'),
  ($$license_number = ' LIC'$$, 'doctors_license_number_check'),
  ($$specialty = repeat('x', 1)$$, 'doctors_specialty_check'),
  ($$specialty = repeat('x', 2)$$, 'done'),
  ($$specialty = repeat('x', 120)$$, 'done'),
  ($$specialty = repeat('x', 121)$$, 'doctors_specialty_check'),
  ($$specialty = ' Oncology'$$, 'doctors_specialty_check'),
  ($$organization = repeat('x', 1)$$, 'doctors_organization_check'),
  ($$organization = repeat('x', 2)$$, 'done'),
  ($$organization = repeat('x', 200)$$, 'done'),
  ($$organization = repeat('x', 201)$$, 'doctors_organization_check'),
  ($$verified_at = null$$, 'done'),
  ($$verified_at = now(), rejected_reason = null$$, 'done'),
  ($$verified_at = null, rejected_reason = 'x'$$, 'done'),
  ($$verified_at = now(), rejected_reason = 'x'$$, 'doctors_decision_check'),
  ($$verified_at = null, rejected_reason = ''$$, 'doctors_rejected_reason_check'),
  ($$verified_at = null, rejected_reason = repeat('x', 500)$$, 'done'),
  ($$verified_at = null, rejected_reason = repeat('x', 501)$$, 'doctors_rejected_reason_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.account_grants set %s where id = %L',
    change, tests.id('moderator'))),
  outcome, format('account_grants: %s: %s', left(change, 60), outcome)
)
from (values
  ($$"grant" = 'listener'$$, 'done'),
  ($$"grant" = 'admin'$$, 'account_grants_grant_check'),
  ($$"grant" = 'seller'$$, 'account_grants_one_each')
) as t (change, outcome);

select is(
  tests.refusal(format('update private.sign_in_failures set %s where user_id = %L',
    change, tests.uid('pia'))),
  outcome, format('sign_in_failures: %s: %s', left(change, 60), outcome)
)
from (values
  ($$failures = -1$$, 'sign_in_failures_failures_check'),
  ($$failures = 0$$, 'done'),
  ($$failures = 5$$, 'done'),
  ($$failures = 6$$, 'sign_in_failures_failures_check'),
  ($$method = 'mfa'$$, 'done'),
  ($$method = 'sms'$$, 'sign_in_failures_method_check')
) as t (change, outcome);

select * from finish();
rollback;
